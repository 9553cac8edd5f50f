"""Calls that outlive their request: what a client sees that declares the Tasks extension, and one that does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.extension import advertise
from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolRequestParams, CallToolResult, TextContent

from router_mcp.edge import task_store
from router_mcp.edge.app import Source
from router_mcp.edge.server import build_server
from router_mcp.edge.task_store import TaskStore
from router_mcp.edge.tasks import EXTENSION, PATIENCE_S, Tasks
from router_mcp.router import Router
from tests.edge.task_client import PollingTasks, ask
from tests.houses import House, make_policy, open_house
from tests.scripted import ScriptedRuntime, hangs, says

pytestmark = pytest.mark.anyio

LONG = "a report that takes its time"


@asynccontextmanager
async def connected(*extensions: Any, mode: str = "auto", **parts: Any) -> AsyncGenerator[tuple[Client, House]]:
    houses: list[House] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Router]:
        async with open_house(**parts) as house:
            houses.append(house)
            yield house.router

    server = build_server(Source(open_router=opened), make_policy())
    async with Client(server, mode=mode, extensions=extensions) as client:
        yield client, houses[0]


async def test_a_report_that_takes_a_minute_is_answered_by_a_handle_and_fetched() -> None:
    polling = PollingTasks()
    async with connected(polling, gpu=ScriptedRuntime(says(LONG, each_s=8))) as (client, _):
        with anyio.fail_after(60):
            result = await client.call_tool("generate", {"prompt": "write", "task": "report"}, read_timeout_seconds=4)
    assert (result.structured_content or {})["text"] == LONG
    assert (result.meta or {})["router-mcp/route"]["seconds"] >= 40
    [handle] = polling.handles
    assert handle.status == "working"
    assert handle.ttl_ms >= 120_000
    assert any("tokens so far" in message for message in polling.messages if message), "the handle tells where it is"


async def test_a_short_call_needs_no_handle() -> None:
    polling = PollingTasks()
    async with connected(polling, gpu=ScriptedRuntime(says("hello", after_s=PATIENCE_S / 2))) as (client, _):
        result = await client.call_tool("generate", {"prompt": "hi"})
    assert (result.structured_content or {})["text"] == "hello"
    assert not polling.handles


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_to_a_client_without_the_extension_nothing_changes(mode: str) -> None:
    async with connected(mode=mode, gpu=ScriptedRuntime(says("hello to you", each_s=5))) as (client, _):
        result = await client.call_tool("generate", {"prompt": "hi"})
        assert (result.structured_content or {})["text"] == "hello to you"


async def test_an_error_of_a_long_call_is_its_result() -> None:
    async with connected(PollingTasks(), gpu=ScriptedRuntime(hangs()), laptop=ScriptedRuntime(hangs())) as (client, _):
        result = await client.call_tool("generate", {"prompt": "hi"})
    assert result.is_error
    assert (result.meta or {})["router-mcp/error"]["code"] in {"deadline", "backend_unavailable"}


async def test_a_cancelled_handle_stops_the_runtime() -> None:
    polling = PollingTasks(give_up=True)
    async with connected(polling, gpu=ScriptedRuntime(hangs())) as (client, house):
        await client.call_tool("generate", {"prompt": "hi"})
        task_id = polling.handles[0].task_id
        assert (await ask(client, "tasks/get", task_id))["status"] == "working"
        for _ in range(2):  # cancelling what has ended is no error
            assert (await ask(client, "tasks/cancel", task_id)).keys() <= {"resultType", "_meta"}
        await anyio.sleep(0.1)
        assert (await ask(client, "tasks/get", task_id))["status"] == "cancelled"
        assert house.gpu.cancelled == 1
        assert house.gpu.running == 0


async def test_who_gives_up_before_there_is_a_handle_cancels_the_call() -> None:
    async with connected(PollingTasks(), gpu=ScriptedRuntime(hangs())) as (client, house):
        with anyio.move_on_after(PATIENCE_S / 2):
            await client.call_tool("generate", {"prompt": "hi"})
        await anyio.sleep(0.1)
        assert house.gpu.cancelled == 1


async def test_the_end_of_the_server_ends_its_long_calls() -> None:
    async with connected(PollingTasks(give_up=True), gpu=ScriptedRuntime(hangs())) as (client, house):
        await client.call_tool("generate", {"prompt": "hi"})
    assert house.gpu.cancelled == 1


async def test_an_unknown_handle_and_an_undeclared_extension_are_refused_as_the_protocol_has_it() -> None:
    async with connected(PollingTasks()) as (client, _):
        with pytest.raises(MCPError) as unknown:
            await ask(client, "tasks/get", "nobody")
    assert unknown.value.code == -32602
    async with connected() as (client, _):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            with pytest.raises(MCPError) as undeclared:
                await ask(client, method, "nobody")
            assert undeclared.value.code == -32021
            assert EXTENSION in undeclared.value.data["requiredCapabilities"]["extensions"]
    async with connected(mode="legacy") as (client, _):
        with pytest.raises(MCPError) as older:
            await ask(client, "tasks/get", "nobody")
        assert older.value.code == -32601


class Crashes(Extension):
    """Something below the tasks that has a bug, or answers by itself."""

    identifier = "test.example/crashes"

    async def intercept_tool_call(self, params: Any, ctx: Any, call_next: Any) -> Any:
        if params.arguments["how"] not in {"crash", "answer"}:
            return await call_next(ctx)
        await anyio.sleep(params.arguments["seconds"])
        if params.arguments["how"] == "answer":
            return {"content": [{"type": "text", "text": "from below"}]}
        raise RuntimeError("the password is 1234")


@asynccontextmanager
async def small_server(tasks: Tasks, *extensions: Any) -> AsyncGenerator[Client]:
    """Serve one tool, `work`, that does as it is told."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncGenerator[None]:
        async with tasks.running():
            yield

    server: MCPServer[None] = MCPServer("small", version="1", lifespan=lifespan, extensions=[tasks, Crashes()])

    @server.tool(structured_output=False)
    async def work(how: str, ctx: Context[None], seconds: float = 10) -> CallToolResult:
        assert ctx.client_capabilities is not None, "the call sees its session, though it may outlive its request"
        await anyio.sleep(seconds)
        if how == "protocol":
            raise MCPError(-32603, "boom", {"why": "told to"})
        return CallToolResult(content=[TextContent(text="x" * 100)])

    async with Client(server, extensions=extensions) as client:
        yield client


async def test_a_protocol_error_makes_the_handle_fail_and_a_quick_one_the_request() -> None:
    polling = PollingTasks(give_up=True)
    async with small_server(Tasks({"work"}), polling) as client:
        await client.call_tool("work", {"how": "protocol"})
        await anyio.sleep(20)
        found = await ask(client, "tasks/get", polling.handles[0].task_id)
        assert found["status"] == "failed"
        assert found["error"] == {"code": -32603, "message": "boom", "data": {"why": "told to"}}
        assert "result" not in found
        with pytest.raises(MCPError, match="boom"):
            await client.call_tool("work", {"how": "protocol", "seconds": 0})


async def test_a_crash_fails_the_handle_without_its_text_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    polling = PollingTasks(give_up=True)
    async with small_server(Tasks({"work"}), polling) as client:
        await client.call_tool("work", {"how": "crash", "seconds": 10})
        await anyio.sleep(20)
        found = await ask(client, "tasks/get", polling.handles[0].task_id)
    assert found["status"] == "failed"
    assert found["error"] == {"code": -32603, "message": "Internal error"}
    assert "1234" in caplog.text


async def test_what_an_extension_below_answers_is_kept_too() -> None:
    polling = PollingTasks(give_up=True)
    async with small_server(Tasks({"work"}), polling) as client:
        await client.call_tool("work", {"how": "answer", "seconds": 10})
        await anyio.sleep(20)
        found = await ask(client, "tasks/get", polling.handles[0].task_id)
    assert found["result"]["content"][0]["text"] == "from below"


async def test_a_call_that_ends_with_the_server_says_so() -> None:
    tasks, raised = Tasks({"work"}, patience_s=60), []
    declared = SimpleNamespace(extensions={EXTENSION: {}})
    ctx: Any = ServerRequestContext(
        session=cast("Any", SimpleNamespace(client_capabilities=declared)),
        lifespan_context=None,
        protocol_version="2026-07-28",
        method="tools/call",
    )

    async def never(_: Any) -> Any:
        await anyio.sleep_forever()

    async def call() -> None:
        with pytest.raises(MCPError, match="shutting down") as error:
            await tasks.intercept_tool_call(CallToolRequestParams(name="work"), ctx, never)
        raised.append(error.value)

    async with anyio.create_task_group() as group, tasks.running():
        group.start_soon(call)
        await anyio.sleep(1)
    assert len(raised) == 1


async def test_an_update_is_acknowledged_though_our_calls_ask_for_nothing() -> None:
    polling = PollingTasks(give_up=True)
    async with small_server(Tasks({"work"}), polling) as client:
        await client.call_tool("work", {"how": "well"})
        acknowledged = await ask(client, "tasks/update", polling.handles[0].task_id)
    assert acknowledged.keys() <= {"resultType", "_meta"}


async def test_a_tool_that_requires_the_extension_refuses_who_does_not_declare_it() -> None:
    async with small_server(Tasks({"work"}, required={"work"})) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("work", {"how": "well"})
        assert refused.value.code == -32021


async def test_a_full_store_means_that_the_caller_waits_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_store, "MOST_OF_ONE", 1)
    polling = PollingTasks(give_up=True)
    async with small_server(Tasks({"work"}), polling) as client:
        await client.call_tool("work", {"how": "well"})
        result = await client.call_tool("work", {"how": "well"})
        assert result.content, "the second call got its result, and no handle"
        assert len(polling.handles) == 1


async def test_a_server_that_does_not_run_the_extension_serves_plain_calls() -> None:
    server = MCPServer("small", version="1", extensions=[Tasks({"work"})])

    @server.tool(structured_output=False)
    async def work() -> str:
        await anyio.sleep(10)
        return "done"

    async with Client(server, extensions=[advertise(EXTENSION)]) as client:
        assert (await client.call_tool("work")).content


def a_store(now: list[float]) -> TaskStore:
    return TaskStore(lambda: now[0], lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_handle_is_its_owner_s_alone() -> None:
    store = a_store([0.0])
    handle = store.create("alice", lambda: None)
    assert handle is not None
    assert store.find(handle.id, "alice") is handle
    assert store.find(handle.id, "bob") is None
    assert store.find(handle.id, None) is None


async def test_a_result_is_kept_until_its_time_is_over_and_a_running_call_for_ever() -> None:
    now = [0.0]
    store = a_store(now)
    ended, running = store.create("a", lambda: None), store.create("a", lambda: None)
    assert ended is not None
    assert running is not None
    now[0] = task_store.TTL_S - 1
    store.complete(ended, b"{}")
    assert ended.wire("complete")["ttlMs"] == round((task_store.TTL_S - 1 + task_store.AFTER_END_S) * 1000)
    now[0] += task_store.AFTER_END_S - 1
    assert store.find(ended.id, "a") is ended
    now[0] += 2
    assert store.find(ended.id, "a") is None
    assert store.find(running.id, "a") is running


async def test_results_are_bounded_in_bytes_and_one_owner_does_not_fill_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_store, "MOST_BYTES", 10)
    monkeypatch.setattr(task_store, "MOST_OF_ONE", 2)
    store = a_store([0.0])
    first = store.create("a", lambda: None)
    assert first is not None
    assert store.create("a", lambda: None) is not None
    assert store.create("a", lambda: None) is None
    assert store.create("b", lambda: None) is not None
    store.complete(first, b"[1,2,3,4,5]")
    assert store.create("c", lambda: None) is None


async def test_what_has_ended_does_not_change_any_more() -> None:
    store = a_store([0.0])
    calls: list[str] = []
    handle = store.create(None, lambda: calls.append("cancelled"))
    assert handle is not None
    store.note(handle, "working")
    store.complete(handle, b'{"content": []}')
    store.note(handle, "late")
    store.fail(handle, {"code": 1, "message": "late"})
    store.cancel(handle)
    assert handle.wire("complete")["result"] == {"content": []}
    assert "statusMessage" not in handle.wire("complete")
    assert calls == []
