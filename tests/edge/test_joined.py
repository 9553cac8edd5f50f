"""Calls with an idempotency key: a retry gets the first call's answer, and the GPU works once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult

from router_mcp.domain import GenerateRequest, GenerateResult, Receipt, Usage
from router_mcp.edge import joined
from router_mcp.edge.app import Source
from router_mcp.edge.joined import JOINED, JoinedCalls
from router_mcp.edge.server import build_server
from router_mcp.errors import InvalidArgumentsError, NoRuntimeError, UnreachableError
from router_mcp.router import Router
from router_mcp.stream import Attention
from tests.houses import House, make_policy, open_house
from tests.scripted import REFUSES, ScriptedRuntime, in_turn, says

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(**parts: Any) -> AsyncGenerator[tuple[Client, House]]:
    houses: list[House] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Router]:
        async with open_house(**parts) as house:
            houses.append(house)
            yield house.router

    server = build_server(Source(open_router=opened), make_policy())
    async with Client(server, raise_exceptions=True) as client:
        yield client, houses[0]


def notes(result: CallToolResult) -> list[str]:
    return list((result.meta or {})["router-mcp/route"]["notes"])


SLOW = "a slow answer of several words that comes"
KEYED = {"prompt": "hi", "task": "report", "idempotency_key": "k-1"}


async def test_a_caller_that_timed_out_picks_up_the_running_call() -> None:
    async with connected(gpu=ScriptedRuntime(says(SLOW, each_s=8))) as (client, house):
        with pytest.raises(MCPError, match="out"):
            await client.call_tool("generate", KEYED, read_timeout_seconds=30)
        begun = anyio.current_time()
        result = await client.call_tool("generate", KEYED)
        assert anyio.current_time() - begun < 30
        assert (result.structured_content or {})["text"] == SLOW
        assert JOINED in notes(result)
        assert len(house.gpu.calls) == 1
        assert house.gpu.cancelled == 0


async def test_a_finished_call_is_answered_again_without_a_model() -> None:
    async with connected() as (client, house):
        first = await client.call_tool("generate", KEYED)
        second = await client.call_tool("generate", KEYED)
        assert first.structured_content == second.structured_content
        assert JOINED not in notes(first)
        assert JOINED in notes(second)
        assert len(house.gpu.calls) == 1
        await anyio.sleep(joined.KEPT_S + 1)
        assert JOINED not in notes(await client.call_tool("generate", KEYED))


async def test_a_structured_call_joins_too_and_a_plain_one_does_not_take_its_key() -> None:
    asked = {"prompt": "?", "choices": ["yes", "no"], "idempotency_key": "k"}
    async with connected(gpu=ScriptedRuntime(says("yes"))) as (client, house):
        for _ in range(2):
            result = await client.call_tool("structured_generate", asked)
            assert (result.structured_content or {})["data"] == "yes"
        assert len(house.gpu.calls) == 1
        clash = await client.call_tool("generate", {"prompt": "?", "idempotency_key": "k"})
        assert (clash.meta or {})["router-mcp/error"]["code"] == "invalid_arguments"


@pytest.mark.parametrize("changed", [{"prompt": "ho"}, {"seed": 1}, {"temperature": 0.1}, {"system": "short"}])
async def test_the_same_key_with_other_arguments_is_refused(changed: dict[str, Any]) -> None:
    async with connected() as (client, house):
        await client.call_tool("generate", KEYED)
        result = await client.call_tool("generate", KEYED | changed)
        assert result.is_error
        assert (result.meta or {})["router-mcp/error"]["code"] == "invalid_arguments"
        assert len(house.gpu.calls) == 1


async def test_tenants_do_not_see_each_other_s_calls() -> None:
    async with connected() as (client, house):
        await client.call_tool("generate", KEYED | {"tenant": "red"})
        result = await client.call_tool("generate", KEYED | {"tenant": "blue", "prompt": "other"})
        assert not result.is_error
        assert JOINED not in notes(result)
        assert len(house.gpu.calls) == 2


async def test_a_failure_is_not_kept_so_that_a_retry_runs_anew() -> None:
    gpu = ScriptedRuntime(in_turn(REFUSES, says("well again")))
    asked = {"prompt": "hi", "model": "big", "idempotency_key": "k"}
    async with connected(gpu=gpu) as (client, _):
        assert (await client.call_tool("generate", asked)).is_error
        await anyio.sleep(60)
        result = await client.call_tool("generate", asked)
        assert (result.structured_content or {})["text"] == "well again"


def answer(text: str) -> GenerateResult:
    receipt = Receipt(request_id="r", task="t", deadline_s=30)
    return GenerateResult(
        text=text, task="t", model="m", runtime="r", finish_reason="stop", usage=Usage(), temperature=0, receipt=receipt
    )


class Work:
    """A router's `generate` that waits until it may answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_end = anyio.Event()

    async def __call__(self, request: GenerateRequest, attention: Attention) -> GenerateResult:
        self.asked.append(request.prompt)
        await self.may_end.wait()
        if request.prompt == "crash":
            raise RuntimeError("a bug")
        if request.prompt == "fail":
            raise UnreachableError("It is down. Start it.")
        return answer(request.prompt)


def ask(prompt: str, tenant: str | None = None, traceparent: str | None = None) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, tenant=tenant, traceparent=traceparent)


async def test_all_who_wait_get_the_answer_or_the_error_and_a_bug_does_not_end_the_server() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        calls = JoinedCalls(work, group, anyio.current_time)
        good = [calls.join(None, "a", ask("well", traceparent=trace)) for trace in ("one", "two")]
        bad = [calls.join(None, "b", ask("fail")) for _ in range(2)]
        bug = calls.join(None, "c", ask("crash"))
        work.may_end.set()
        assert [(await share.outcome()).text for share in good] == ["well", "well"]
        for share in bad:
            with pytest.raises(UnreachableError):
                await share.outcome()
        with pytest.raises(RuntimeError):
            await bug.outcome()
    assert work.asked == ["well", "fail", "crash"]


async def test_principals_are_kept_apart() -> None:
    work = Work()
    work.may_end.set()
    async with anyio.create_task_group() as group:
        calls = JoinedCalls(work, group, anyio.current_time)
        assert calls.join("alice", "k", ask("x")).first
        assert calls.join("bob", "k", ask("y")).first
        with pytest.raises(InvalidArgumentsError, match="other arguments"):
            calls.join("alice", "k", ask("y"))


async def test_what_is_kept_is_bounded_and_the_oldest_finished_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MOST_OF_ONE", 2)
    work = Work()
    work.may_end.set()
    async with anyio.create_task_group() as group:
        calls = JoinedCalls(work, group, anyio.current_time)
        for key in "abc":
            await calls.join(None, key, ask(key)).outcome()
        assert calls.join(None, "a", ask("a")).first, "a was forgotten for c"
        assert not calls.join(None, "c", ask("c")).first


async def test_a_running_call_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MOST", 1)
    work = Work()
    async with anyio.create_task_group() as group:
        calls = JoinedCalls(work, group, anyio.current_time)
        calls.join(None, "a", ask("a"))
        calls.join(None, "b", ask("b"))
        assert not calls.join(None, "a", ask("a")).first
        work.may_end.set()


async def test_the_end_of_the_server_ends_its_calls_and_tells_who_waits() -> None:
    shares = []
    async with anyio.create_task_group() as group:
        shares.append(JoinedCalls(Work(), group, anyio.current_time).join(None, "a", ask("a")))
        await anyio.sleep(1)
        group.cancel_scope.cancel()
    with pytest.raises(NoRuntimeError, match="stopped"):
        await shares[0].outcome()
