"""A caller who goes away: the runtime sees its connection closed at once, through the real server process."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from mcp import Client

from tests.chaos import served
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import make_policy, open_house
from tests.chaos.load import ASK

pytestmark = pytest.mark.anyio

SOON_S = 0.2
"""What issue 3 promises; it takes some milliseconds."""
BUSY_MACHINE_S = 2.0
HANGS = [Fault.FROZEN, Fault.HANG_MIDWAY]


@pytest.fixture
def policy_path(fleet: Fleet, tmp_path: Path) -> Path:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 60.0, "inter_token": 50.0})
    return served.written(policy, tmp_path)


async def check(client: Client, fleet: Fleet) -> None:
    """Cancel calls that hang in several ways; a busy machine may be late for some of them."""
    before = (await fleet.counts("vllm")).closed_early
    late: list[float] = []
    for fault in HANGS * 2:
        await fleet.set("vllm", fault)
        late.append(await served.seconds_to_close(client, fleet, "vllm"))
    assert 0 < min(late) < SOON_S
    assert max(late) < SOON_S + BUSY_MACHINE_S
    assert (await fleet.counts("vllm")).closed_early - before == len(late)
    assert (await fleet.counts("ollama")).attempts == 0, "a call that nobody waits for goes nowhere else"


async def test_a_call_cancelled_over_stdio_ends_at_the_runtime(fleet: Fleet, policy_path: Path) -> None:
    async with served.stdio(policy_path) as client:
        await check(client, fleet)


async def test_a_call_cancelled_over_http_ends_at_the_runtime(fleet: Fleet, policy_path: Path) -> None:
    """Clients of 2026-07-28 close the connection, older ones send a notification."""
    async with served.http(policy_path) as (_, url):
        async with Client(url, mode="auto") as client:
            await check(client, fleet)
        async with Client(url, mode="legacy") as client:
            await check(client, fleet)


async def test_a_cancelled_call_frees_its_slot_and_proves_nothing(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 60.0, "inter_token": 50.0})
    await fleet.set("vllm", Fault.FROZEN)
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        with anyio.move_on_after(0.3):
            await house.router.generate(ASK)
        assert not any(house.router.book.in_flight().values())
        assert house.state() == "healthy"
        await served.until(fleet, "vllm", in_flight=0)
    assert (await fleet.counts("vllm")).closed_early == 1


async def test_a_server_that_is_told_to_leave_answers_what_it_works_on(fleet: Fleet, policy_path: Path) -> None:
    await fleet.set("vllm", Fault.OK, pace_s=0.4)
    texts: list[str] = []
    async with served.http(policy_path) as (process, url), Client(url) as client:

        async def call() -> None:
            result = await client.call_tool("generate", {"prompt": "hi"})
            assert result.structured_content
            texts.append(result.structured_content["text"])

        await client.list_tools()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call)
            await served.until(fleet, "vllm", in_flight=8)
            process.terminate()
        with anyio.fail_after(10):
            assert await process.wait() == 0
    assert len(texts) == 8
    assert (await fleet.counts("vllm")).closed_early == 0
