"""Calls that meet several troubles at once, and are still served by what is up. Found by soaks; time jumps."""

from __future__ import annotations

import anyio
import pytest

from router_mcp.domain import Endpoint, GenerateRequest
from router_mcp.errors import OverloadedError, ServerFailedError, StalledError, UnreachableError
from tests.houses import open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="hi")
ONE, TWO = (Endpoint(runtime="gpu", url=f"http://gpu-{number}") for number in (1, 2))


async def test_a_replica_that_comes_last_has_its_share_though_one_in_doubt_hangs_before_it() -> None:
    gpu = ScriptedRuntime(by_endpoint={ONE.url: hangs(), TWO.url: says("from the second")})
    laptop = ScriptedRuntime(fails(OverloadedError("full", retry_after_s=60)))
    async with open_house(gpu=gpu, laptop=laptop, replicas=2) as house:
        board = house.router.board
        board.failed(TWO, "big", StalledError("silent"), anyio.current_time())
        await anyio.sleep(400)
        board.failed(ONE, "big", StalledError("silent"), anyio.current_time())
        plan = house.router.explain(ASK)
        assert [step.endpoints[0].url for step in plan.steps] == ["http://laptop", ONE.url, TWO.url]
        assert (await house.router.generate(ASK)).text == "from the second"


async def test_a_demoted_model_that_hangs_leaves_a_full_one_its_share() -> None:
    laptop = ScriptedRuntime(in_turn(fails(OverloadedError("full", retry_after_s=20)), says("room again")))
    async with open_house(gpu=ScriptedRuntime(hangs()), laptop=laptop) as house:
        house.router.board.failed(house.endpoint("gpu"), "big", StalledError("silent"), anyio.current_time())
        await anyio.sleep(400)
        assert house.state("gpu") == "demoted"
        with pytest.raises(Exception, match="busy"):
            await house.router.generate(GenerateRequest(prompt="hi", model="small"))
        await anyio.sleep(10)
        assert (await house.router.generate(ASK)).text == "room again"


async def test_a_short_wait_for_a_full_model_comes_before_a_try_of_a_dead_one() -> None:
    laptop = ScriptedRuntime(in_turn(fails(OverloadedError("full", retry_after_s=2)), says("room again")))
    gpu = ScriptedRuntime(hangs())
    async with open_house(gpu=gpu, laptop=laptop) as house:
        house.router.board.failed(house.endpoint("gpu"), "big", UnreachableError("down"), anyio.current_time())
        with pytest.raises(Exception, match="busy"):
            await house.router.generate(GenerateRequest(prompt="hi", model="small"))
        before = anyio.current_time()
        assert (await house.router.generate(ASK)).model == "small"
        assert anyio.current_time() - before == pytest.approx(2, abs=0.1)
        assert gpu.calls == []


async def test_calls_that_began_before_a_failure_and_are_served_do_not_excuse_it() -> None:
    """A vLLM that drains serves what it has and refuses what comes (vLLM B1 #4)."""
    gpu = ScriptedRuntime(in_turn(says("old one", after_s=1), fails(ServerFailedError("shutting down"))))
    async with open_house(gpu=gpu) as house:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            await anyio.sleep(0.5)
            assert (await house.router.generate(ASK)).model == "small"
        assert house.state("gpu") == "unhealthy", "though the old call was served after that"
        for _ in range(3):
            assert (await house.router.generate(ASK)).model == "small"
        assert len(gpu.calls) == 2


async def test_a_full_endpoint_that_serves_an_older_call_when_its_wait_is_over_has_room() -> None:
    gpu = ScriptedRuntime(
        in_turn(says("old one", after_s=2), fails(OverloadedError("full")), says("new one", after_s=1))
    )
    async with open_house(gpu=gpu) as house:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            await anyio.sleep(0.1)
            assert (await house.router.generate(ASK)).model == "small"
        served: list[str] = []

        async def call() -> None:
            served.append((await house.router.generate(ASK)).model)

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(call)
        assert served == ["big"] * 4


async def test_a_wave_is_not_lost_on_an_endpoint_that_probes_call_well_and_calls_find_dead() -> None:
    gpu = ScriptedRuntime(REFUSES)
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
        await anyio.sleep(6)
        house.router.board.probed(house.endpoint("gpu"), None, anyio.current_time())
        assert house.state("gpu") == "healthy"
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(house.router.generate, ASK)
        assert len(gpu.calls) == 2


async def test_a_stream_that_stalls_in_a_call_with_little_time_still_goes_to_the_fallback() -> None:
    async with open_house(
        gpu=ScriptedRuntime(hangs(after_text="half of ")), laptop=ScriptedRuntime(says("all"))
    ) as house:
        result = await house.router.generate(GenerateRequest(prompt="hi", timeout_s=6))
        assert (result.text, result.finish_reason) == ("all", "stop")
        assert house.state("gpu") == "unknown", "a caller in a hurry proves nothing"


async def test_a_model_that_was_ill_and_is_up_again_has_some_time_left_when_the_well_one_hangs() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs()), laptop=ScriptedRuntime(says("up again"))) as house:
        house.router.board.failed(house.endpoint("laptop"), "small", StalledError("silent"), anyio.current_time())
        before = anyio.current_time()
        assert (await house.router.generate(ASK)).text == "up again"
        assert anyio.current_time() - before == pytest.approx(24, abs=0.1)
