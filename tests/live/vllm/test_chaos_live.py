"""The real vLLM is frozen and killed under traffic while a second runtime is up: no caller sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from mcp import Client

from router_mcp.domain import Endpoint
from router_mcp.runtimes.vllm import VllmRuntime
from tests.chaos import served
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.houses import House, make_policy, open_house
from tests.chaos.load import ASK, drive
from tests.live.vllm import server
from tests.live.vllm.test_server import runs, until

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

SHORT = replace(ASK, max_output_tokens=12)
TIMEOUTS = {"interactive": 12.0, "inter_token": 3.0}
HEALTH = {"interval": 1.0, "timeout": 2.0, "retry_after": 2.0, "demote_after": 60.0, "canary": 5.0}
"""Longer than the fakes': this engine shares its cores with everything else."""
STORY = {"prompt": "Tell a very long story.", "max_output_tokens": 1500, "temperature": 1.0}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Return a fake Ollama to fall back to."""
    with running_fleet(ollama="ollama") as fleet:
        yield fleet


@contextmanager
def stopped(vllm: server.Server, *, whole: bool = False) -> Iterator[None]:
    """Freeze the engine, whose API server goes on to answer health checks with 200, or all that there is."""
    group = vllm.group
    assert group is not None, "a server that someone else started is not frozen"
    processes = [pid for pid in server.processes(group) if whole or pid == vllm.engine()]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


async def is_used(house: House) -> None:
    """Call until the primary serves."""
    with anyio.fail_after(60):
        while (await house.router.generate(SHORT)).runtime != "primary":
            await anyio.sleep(0.2)


@pytest.mark.parametrize("whole", [False, True], ids=["engine", "server"])
async def test_a_vllm_that_freezes_under_traffic_costs_nobody_an_answer_and_is_used_again(
    vllm: server.Server, fleet: Fleet, whole: bool
) -> None:
    policy = make_policy(vllm.url, fleet.url("ollama"), timeouts=TIMEOUTS, health=HEALTH)
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await is_used(house)

        async def freeze() -> None:
            await anyio.sleep(1)
            with stopped(vllm, whole=whole):
                found = await house.becomes("unhealthy", within_s=60)
                assert found < TIMEOUTS["inter_token"] + HEALTH["interval"] + 5
                await anyio.sleep(5)

        outcomes = await drive(house.router, 50, in_flight=8, meanwhile=freeze, request=SHORT)
        assert outcomes.errors == []
        first, *later = house.ledger.waves(house.endpoint(), HEALTH["retry_after"])
        assert first <= 8
        assert set(later) <= {1}
        assert max(outcomes.seconds) < TIMEOUTS["interactive"] + 0.5
        await is_used(house)


async def test_an_engine_that_freezes_while_idle_is_found_without_any_caller(vllm: server.Server, fleet: Fleet) -> None:
    policy = make_policy(vllm.url, fleet.url("ollama"), timeouts=TIMEOUTS, health=HEALTH)
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        with stopped(vllm):
            found = await house.becomes("unhealthy", within_s=60)
            assert found < HEALTH["canary"] + 2.5 * HEALTH["timeout"] + 5
        await house.becomes("healthy", within_s=60)
        assert house.ledger.tried == []


async def test_an_engine_that_is_killed_under_traffic_costs_nobody_an_answer(tmp_path: Path, fleet: Fleet) -> None:
    with server.running(tmp_path / "vllm.log") as doomed:
        policy = make_policy(doomed.url, fleet.url("ollama"), timeouts=TIMEOUTS, health=HEALTH)
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            await is_used(house)

            async def kill() -> None:
                await anyio.sleep(1)
                os.kill(doomed.engine(), signal.SIGKILL)
                await anyio.sleep(3)

            outcomes = await drive(house.router, 100, in_flight=8, meanwhile=kill, request=SHORT)
            assert outcomes.errors == []
            assert house.state() == "unhealthy"
            first, *later = house.ledger.waves(house.endpoint(), HEALTH["retry_after"])
            assert first <= 8
            assert set(later) <= {1}


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_cancelled_call_frees_the_engine(
    vllm: server.Server, endpoint: Endpoint, runtime: VllmRuntime, fleet: Fleet, tmp_path: Path, transport: str
) -> None:
    """vLLM B1 #16: `vllm:num_requests_running` falls."""
    path = served.written(make_policy(vllm.url, fleet.url("ollama"), timeouts={"interactive": 60.0}), tmp_path)

    async def cancel(client: Client) -> None:
        await client.list_tools()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "generate", STORY)
            await until(runtime, endpoint, runs(1))
            tasks.cancel_scope.cancel()
        await until(runtime, endpoint, runs(0), within=3)

    if transport == "stdio":
        async with served.stdio(path) as client:
            await cancel(client)
    else:
        async with served.http(path) as (_, url), Client(url) as client:
            await cancel(client)
