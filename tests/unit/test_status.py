"""What pages and tables are made of."""

from __future__ import annotations

import anyio
import pytest

from router_mcp import status
from router_mcp.domain import GenerateRequest
from router_mcp.errors import ModelMissingError, NoRuntimeError
from tests.houses import open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="hi")


async def test_a_fresh_router_knows_nothing_and_promises_nothing() -> None:
    async with open_house() as house:
        now = anyio.current_time()
        assert {model.state for model in status.models(house.router, now)} == {"unknown"}
        assert all(each.since_s is None for each in status.endpoints(house.router, now))
        assert "first probes" in (status.not_ready(house.router, now) or "")
        await house.router.generate(ASK)
        assert status.not_ready(house.router, anyio.current_time()) is None


async def test_a_model_shows_its_tasks_its_state_and_its_last_error() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES)) as house:
        await house.router.generate(ASK)
        await anyio.sleep(7)
        big, other, small = status.models(house.router, anyio.current_time())
    assert (big.state, other.state, small.state) == ("unhealthy", "unhealthy", "healthy")
    assert big.error is not None
    assert big.tasks == ("reasoning", "short-first", "report", "triage")
    assert other.tasks == ()


async def test_an_endpoint_shows_since_when_and_how_many_calls_it_runs() -> None:
    async with open_house(gpu=ScriptedRuntime(says("slow", after_s=20)), concurrency=1) as house:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            tasks.start_soon(house.router.generate, ASK)
            await anyio.sleep(1)
            gpu, _ = status.endpoints(house.router, anyio.current_time())
            assert (gpu.in_flight, gpu.max_concurrency, gpu.queued) == (1, 1, 1)
        await anyio.sleep(5)
        laptop_or_gpu = status.endpoints(house.router, anyio.current_time())
    assert any(each.state == "healthy" and each.since_s and each.since_s >= 5 for each in laptop_or_gpu)


async def test_a_model_is_as_well_as_its_best_replica() -> None:
    async with open_house(gpu=ScriptedRuntime(by_endpoint={"http://gpu-1": REFUSES}), replicas=2) as house:
        for number in range(6):
            await house.router.generate(GenerateRequest(prompt=f"{number}"))
        now = anyio.current_time()
        assert status.models(house.router, now)[0].state == "healthy"
        assert [each.state for each in status.endpoints(house.router, now)][:2] == ["unhealthy", "healthy"]


async def test_nothing_is_ready_while_no_task_can_be_served_and_the_reason_is_told() -> None:
    down = ScriptedRuntime(REFUSES)
    async with open_house(gpu=down, laptop=down) as house:
        with pytest.raises(NoRuntimeError):
            await house.router.generate(ASK)
        assert "Start it." in (status.not_ready(house.router, anyio.current_time()) or "")


async def test_a_missing_model_shows_on_the_model_and_not_on_its_endpoint() -> None:
    gpu = ScriptedRuntime(by_model={"big": fails(ModelMissingError("big is missing"))})
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
        now = anyio.current_time()
        assert [model.state for model in status.models(house.router, now)] == ["unhealthy", "unknown", "healthy"]
        assert status.endpoints(house.router, now)[0].state == "unknown"
