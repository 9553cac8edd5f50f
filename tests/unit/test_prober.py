"""What probes change: endpoints that die, freeze, lose a model and come back. Time jumps."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from router_mcp.domain import GenerateRequest, Probe
from router_mcp.errors import NoRuntimeError, ServerFailedError, UnauthorizedError, UnreachableError
from router_mcp.prober import Prober
from tests.houses import House, open_house
from tests.scripted import REFUSES, ScriptedRuntime, hangs, says

pytestmark = pytest.mark.anyio

DOWN = UnreachableError("gpu cannot be reached. Start it.")


@asynccontextmanager
async def watched(house: House) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(house.router, anyio.current_time).run)
        yield
        tasks.cancel_scope.cancel()


async def test_a_dead_endpoint_is_found_without_any_call() -> None:
    async with open_house(gpu=ScriptedRuntime(health=DOWN)) as house, watched(house):
        await anyio.sleep(11)
        assert house.state("gpu") == "unhealthy"
        assert house.state("laptop") == "healthy"
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "small"
        assert house.gpu.calls == []


async def test_an_endpoint_is_demoted_after_five_minutes_and_not_before() -> None:
    async with open_house(gpu=ScriptedRuntime(health=DOWN)) as house, watched(house):
        await anyio.sleep(0.5)
        assert house.state("gpu") == "unhealthy"
        await anyio.sleep(299)
        assert house.state("gpu") == "unhealthy"
        await anyio.sleep(2)
        assert house.state("gpu") == "demoted"


async def test_a_demoted_endpoint_is_reinstated_after_three_good_probes() -> None:
    gpu = ScriptedRuntime(health=DOWN)
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(400)
        gpu.health = Probe()
        seen = []
        for _ in range(40):
            await anyio.sleep(1)
            seen.append(house.state("gpu"))
        assert list(dict.fromkeys(seen)) == ["demoted", "recovering", "healthy"]
        assert seen.count("recovering") >= 15, "two intervals lie between the first good probe and the third"


async def test_a_good_probe_lets_callers_back_within_one_interval() -> None:
    gpu = ScriptedRuntime(health=DOWN)
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(60)
        gpu.health = Probe()
        await anyio.sleep(10.1)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "big"


async def test_a_health_check_that_hangs_counts_as_failed() -> None:
    async with open_house(gpu=ScriptedRuntime(health=None)) as house, watched(house):
        await anyio.sleep(2.1)
        assert house.state("gpu") == "unhealthy"
        assert "2 s" in (house.router.board.health(house.endpoint("gpu")).error or "")


async def test_a_refused_key_is_said_as_what_it_is() -> None:
    refused = UnauthorizedError("gpu refused the key (401). Correct the variable named in api_key_env.")
    async with (
        open_house(gpu=ScriptedRuntime(health=refused), laptop=ScriptedRuntime(REFUSES)) as house,
        watched(house),
    ):
        await anyio.sleep(1)
        assert "api_key_env" in (house.router.board.health(house.endpoint("gpu")).error or "")


async def test_a_model_that_the_endpoint_does_not_have_is_known_before_a_caller_pays() -> None:
    gpu = ScriptedRuntime(health=Probe(models=frozenset({"other"})))
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(1)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "small"
        assert (await house.router.generate(GenerateRequest(prompt="hi", model="other"))).model == "other"
        assert [call.model for call in gpu.calls] == ["other"]
        gpu.health = Probe(models=frozenset({"other", "big"}))
        await anyio.sleep(11)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "big"


async def test_a_missing_ollama_model_is_told_with_the_command_that_gets_it() -> None:
    laptop = ScriptedRuntime(health=Probe(models=frozenset({"else"})))
    async with open_house(gpu=ScriptedRuntime(REFUSES), laptop=laptop) as house, watched(house):
        await anyio.sleep(1)
        laptop.behaviour = REFUSES
        with pytest.raises(NoRuntimeError):
            await house.router.generate(GenerateRequest(prompt="hi"))
        assert "ollama pull small:latest" in (house.router.board.health(house.endpoint("laptop"), "small").error or "")


async def test_a_frozen_engine_is_found_by_counters_that_stand_still() -> None:
    gpu = ScriptedRuntime(health=Probe(running=3, tokens_total=500.0))
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(5)
        assert house.state("gpu") == "healthy"
        await anyio.sleep(6)
        assert house.state("gpu") == "unhealthy"


@pytest.mark.parametrize(("chars", "state"), [(1000, "unhealthy"), (100_000, "healthy")])
async def test_an_engine_that_reads_a_long_prompt_is_not_frozen(chars: int, state: str) -> None:
    """vLLM counts a prompt when it has read all of it, and generates for nobody else meanwhile."""
    gpu = ScriptedRuntime(says("read", after_s=17), health=Probe(running=1, tokens_total=500.0))
    async with open_house(gpu=gpu) as house, watched(house), anyio.create_task_group() as tasks:
        await anyio.sleep(0.5)
        tasks.start_soon(house.router.generate, GenerateRequest(prompt="a" * chars, task="report"))
        await anyio.sleep(16)
        assert house.state("gpu") == state


async def test_counters_that_stand_still_with_nothing_running_are_idleness() -> None:
    async with open_house(gpu=ScriptedRuntime(health=Probe(running=0, tokens_total=500.0))) as house, watched(house):
        await anyio.sleep(100)
        assert house.state("gpu") == "healthy"


async def test_a_good_probe_does_not_excuse_an_endpoint_that_answers_calls_with_silence() -> None:
    gpu = ScriptedRuntime(hangs())
    async with open_house(gpu=gpu) as house, watched(house):
        await house.router.generate(GenerateRequest(prompt="hi"))
        await anyio.sleep(30)
        assert house.state("gpu") == "unhealthy"
        gpu.behaviour = says("thawed")
        await anyio.sleep(60)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "big"
        assert house.state("gpu") == "healthy"


async def test_endpoints_of_a_new_policy_are_watched_and_old_ones_forgotten() -> None:
    async with open_house() as house, watched(house):
        await anyio.sleep(1)
        house.router.adopt(house.policy(replicas=2))
        probes = house.gpu.probes
        await anyio.sleep(1.5)
        assert house.gpu.probes == probes + 2
        assert {endpoint.url for endpoint in house.router.board.endpoints()} == {
            "http://gpu-1",
            "http://gpu-2",
            "http://laptop",
        }


async def test_endpoints_are_not_all_asked_at_the_same_moment_for_ever() -> None:
    async with open_house(replicas=8) as house:
        moments: list[float] = []
        probe = house.gpu.probe

        async def noted(endpoint: object) -> Probe:
            moments.append(round(anyio.current_time(), 3))
            return await probe(endpoint)  # type: ignore[arg-type] # it is passed through

        house.gpu.probe = noted  # type: ignore[method-assign] # the script listens in
        async with watched(house):
            await anyio.sleep(60)
    late = moments[24:]
    assert len(set(late)) > len(late) / 3


async def test_a_failing_probe_of_a_frozen_child_is_an_error_that_callers_see() -> None:
    failed = ServerFailedError("gpu failed (503). Look at its log.")
    async with open_house(gpu=ScriptedRuntime(health=failed)) as house:
        outcome = await Prober(house.router, anyio.current_time).probe(house.endpoint("gpu"))
        assert outcome is failed
