"""Signs of life: at once, never 5 s apart, never in a flood, and never at the call's expense."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Annotated, Any, cast

import anyio
import httpx
import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult

from router_mcp.edge.arguments import strict_tool
from router_mcp.edge.bind import check_bind
from router_mcp.edge.http import HttpApp
from router_mcp.edge.lowlevel import may_hear_progress
from router_mcp.edge.progress import heartbeats
from router_mcp.errors import BusyError
from tests.edge.demo import Said, Work, said
from tests.edge_process.process import MODERN

pytestmark = pytest.mark.anyio

Job = Callable[[Work], Awaitable[None]]


class Reports:
    """What a caller was told, and when."""

    def __init__(self) -> None:
        self.start = anyio.current_time()
        self.times: list[float] = []
        self.values: list[float] = []
        self.messages: list[str | None] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        self.times.append(anyio.current_time() - self.start)
        self.values.append(progress)
        self.messages.append(message)

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def server_doing(job: Job) -> MCPServer[Any]:
    async def work(ctx: Context[Any]) -> Annotated[CallToolResult, Said]:
        """Work."""
        source = Work()
        async with heartbeats(ctx, source):
            await job(source)
        return said("done")

    return MCPServer("demo", tools=[strict_tool(work)])


async def reports_of(mode: Any, job: Job) -> Reports:
    async with Client(server_doing(job), mode=mode) as client:
        reports = Reports()
        result = await client.call_tool("work", {}, progress_callback=reports)
        assert not result.is_error
        await anyio.sleep(60)
    return reports


async def test_a_silent_call_shows_life_at_once_and_every_four_seconds_and_stops_at_its_end(mode: Any) -> None:
    async def silent(work: Work) -> None:
        await anyio.sleep(30)

    reports = await reports_of(mode, silent)
    assert reports.times[0] < 0.1
    assert all(3.9 < gap < 5 for gap in reports.gaps)
    assert 26 < reports.times[-1] < 30.1
    assert reports.messages == ["waiting"] * len(reports.times)


async def test_streamed_tokens_are_reported_soon_but_at_most_twice_a_second(mode: Any) -> None:
    async def streaming(work: Work) -> None:
        work.state = "phi3"
        for _ in range(1000):
            work.count += 1
            await anyio.sleep(0.01)

    reports = await reports_of(mode, streaming)
    assert all(0.49 < gap < 1.1 for gap in reports.gaps)
    assert reports.values[-1] > 800


async def test_values_rise_with_every_report_even_when_another_model_begins_anew(mode: Any) -> None:
    async def falling_back(work: Work) -> None:
        for state, count in (("a", 500.0), ("b", 0.0), ("b", 3.0), ("b", 3.0), ("b", 900.0)):
            work.state, work.count = state, count
            await anyio.sleep(6)

    reports = await reports_of(mode, falling_back)
    assert all(later > earlier for earlier, later in zip(reports.values, reports.values[1:], strict=False))
    assert reports.values[0] == 500
    assert 900 in reports.values
    assert set(reports.messages) >= {"a", "b"}


async def test_a_caller_that_did_not_ask_is_told_nothing(mode: Any) -> None:
    heard: list[Any] = []

    async def hear(message: Any) -> None:
        heard.append(message)

    async def silent(work: Work) -> None:
        await anyio.sleep(30)

    async with Client(server_doing(silent), mode=mode, message_handler=hear) as client:
        assert not (await client.call_tool("work", {})).is_error
    assert not [message for message in heard if "progress" in str(message)]


async def test_what_the_call_raises_comes_out_as_it_was(mode: Any) -> None:
    async def busy(work: Work) -> None:
        raise BusyError("Full.")

    async with Client(server_doing(busy), mode=mode) as client:
        result = await client.call_tool("work", {}, progress_callback=Reports())
    assert result.meta is not None
    assert result.meta["router-mcp/error"]["code"] == "busy"


async def test_a_broken_source_stops_the_reports_and_not_the_call(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def breaking(work: Work) -> None:
        work.describe = cast("Any", None)  # type: ignore[method-assign]  # as a bug in a source would
        await anyio.sleep(30)

    reports = await reports_of(mode, breaking)
    assert len(reports.times) <= 1
    assert "progress reports stopped" in caplog.text


class Wire:
    """A context whose client is in some state."""

    def __init__(self, report: Callable[[], Awaitable[None]], *, token: str | None = "asked") -> None:
        channel = SimpleNamespace(_inner=SimpleNamespace(_progress_token=token))
        self.request_context = SimpleNamespace(session=SimpleNamespace(_request_outbound=channel))
        self._report = report

    async def report_progress(self, value: float, total: float | None = None, message: str | None = None) -> None:
        await self._report()


async def test_a_client_that_is_gone_costs_the_call_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def gone() -> None:
        raise anyio.BrokenResourceError

    caplog.set_level(logging.CRITICAL)
    async with heartbeats(cast("Context[Any]", Wire(gone)), Work()):
        await anyio.sleep(30)


async def test_a_caller_on_a_wire_who_sent_no_token_starts_no_reporter() -> None:
    reports: list[str] = []

    async def report() -> None:
        reports.append("told")

    for token in ("asked", None):
        async with heartbeats(cast("Context[Any]", Wire(report, token=token)), Work()):
            await anyio.sleep(0.1)
        assert reports == ["told"]


async def test_a_client_that_does_not_read_does_not_hold_the_call() -> None:
    start = anyio.current_time()
    async with heartbeats(cast("Context[Any]", Wire(anyio.sleep_forever)), Work()):
        await anyio.sleep(3)
    assert anyio.current_time() - start < 3.1


async def test_cancelling_the_call_cancels_the_work() -> None:
    seen: list[str] = []

    async def silent() -> None:
        return

    async def call() -> None:
        try:
            async with heartbeats(cast("Context[Any]", Wire(silent)), Work()):
                await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            seen.append("cancelled")
            raise

    with anyio.move_on_after(10):
        await call()
    assert seen == ["cancelled"]


@pytest.mark.parametrize("token", [None, "mine", 0])
async def test_over_http_nothing_beats_for_a_caller_who_did_not_ask_for_progress(token: str | int | None) -> None:
    async def look(ctx: Context[Any]) -> Annotated[CallToolResult, Said]:
        """Look."""
        return said(str(may_hear_progress(ctx)))

    app = HttpApp(MCPServer("demo", tools=[strict_tool(look)]), check_bind("127.0.0.1", {}))
    meta = MODERN if token is None else {**MODERN, "progressToken": token}
    params = {"name": "look", "arguments": {}, "_meta": meta}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": str(MODERN["io.modelcontextprotocol/protocolVersion"]),
        "mcp-method": "tools/call",
        "mcp-name": "look",
    }
    transport = httpx.ASGITransport(app=app)
    async with app.running(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = await client.post("/mcp", json=body, headers=headers)
    assert f'"text":"{token is not None}"' in answer.text


async def test_several_errors_at_once_stay_a_group() -> None:
    async def silent() -> None:
        return

    async def raising(error: Exception) -> None:
        raise error

    async def work() -> None:
        async with heartbeats(cast("Context[Any]", Wire(silent)), Work()), anyio.create_task_group() as group:
            group.start_soon(raising, ValueError("one"))
            group.start_soon(raising, TypeError("two"))

    with pytest.raises(BaseExceptionGroup) as caught:
        await work()
    assert {type(error) for error in caught.value.exceptions} == {ValueError, TypeError}
