"""Trials that no caller pays for: when an endpoint is due for one, and what comes of it. Time jumps."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from router_mcp.config.policy_file import GenerationHealth
from router_mcp.domain import Call, Completion, GenerateRequest, Listener, Probe, State, Usage
from router_mcp.errors import (
    BrokenStreamError,
    ModelMissingError,
    OverloadedError,
    ServerFailedError,
    StalledError,
    UnreachableError,
)
from router_mcp.health import Health, Standing
from router_mcp.prober import Prober
from router_mcp.trial import LEAD_S, is_due, try_endpoint
from tests.houses import House, open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="hi")
RULES = GenerationHealth()
WELL = Standing(state="healthy")
WORD = says("Hello")


@asynccontextmanager
async def watched(house: House) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(house.router, anyio.current_time).run)
        yield
        tasks.cancel_scope.cancel()


async def seconds_until_ill(house: House) -> float:
    begun = anyio.current_time()
    while house.state("gpu") == "healthy":
        await anyio.sleep(0.1)
    return anyio.current_time() - begun


def due(
    health: Health, standing: Standing, idle_s: float, rules: GenerationHealth = RULES, *, unseen: bool = True
) -> bool:
    return is_due(health, standing, idle_s, rules, 100, freezes_unseen=unseen)


def failing(outcome: str, *, retry_at: float = 100.0, state: State = "unhealthy") -> tuple[Health, Standing]:
    health = Health(seen=True, failing_since=90.0, retry_at=retry_at, outcome=outcome)
    return health, Standing(state=state, open=retry_at <= 100.0)


def test_an_idle_endpoint_that_may_freeze_unseen_is_due_after_the_policys_seconds() -> None:
    assert not due(Health(), WELL, 44.9)
    assert due(Health(), WELL, 45)
    assert due(Health(), Standing(state="unknown"), 45)
    assert not due(Health(), WELL, 1e9, unseen=False)


def test_with_0_nothing_is_ever_due() -> None:
    never = GenerationHealth(canary=0)
    assert not due(Health(), WELL, 1e9, never)
    assert not due(*failing(StalledError.outcome), 1e9, never)


def test_an_endpoint_that_asked_to_be_left_alone_is() -> None:
    assert not due(Health(), Standing(state="healthy", waiting_s=3), 100)


@pytest.mark.parametrize("unseen", [True, False])
def test_a_stalled_endpoint_is_due_shortly_before_callers_are_let_back(unseen: bool) -> None:
    for ahead, expected in ((LEAD_S + 0.1, False), (LEAD_S, True), (-50, True)):
        assert due(*failing(StalledError.outcome, retry_at=100 + ahead), 0, unseen=unseen) == expected


@pytest.mark.parametrize("error", [ServerFailedError, BrokenStreamError])
def test_one_that_failed_otherwise_is_tried_by_callers_while_there_are_any(error: type[ServerFailedError]) -> None:
    assert not due(*failing(error.outcome), 44)
    assert due(*failing(error.outcome), 46, unseen=False)
    assert not due(*failing(error.outcome, retry_at=101), 46)


def test_one_that_cannot_be_reached_is_left_to_probes() -> None:
    assert not due(*failing(UnreachableError.outcome, state="demoted"), 1000)


async def test_an_engine_that_froze_while_idle_is_found_within_a_minute() -> None:
    async with open_house(gpu=ScriptedRuntime(WORD)) as house, watched(house):
        await anyio.sleep(47)
        assert len(house.gpu.calls) == 1, "an idle one is tried"
        house.gpu.behaviour = hangs()
        assert await seconds_until_ill(house) < 60
        assert "no token within 5 s" in (house.router.board.health(house.endpoint("gpu")).error or "")
        assert house.gpu.cancelled == 1
        assert house.events == [], "no caller and no metric knows of it"


async def test_a_thawed_engine_is_found_without_any_caller() -> None:
    gpu = ScriptedRuntime(in_turn(hangs(), hangs(), WORD))
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(60)
        assert house.state("gpu") == "unhealthy"
        await anyio.sleep(30)
        assert house.state("gpu") == "healthy"
        assert len(gpu.calls) == 3


async def test_a_trial_asks_for_one_token_of_a_model_that_is_well() -> None:
    gpu = ScriptedRuntime(by_model={"big": fails(ModelMissingError("big is missing"))})
    async with open_house(gpu=gpu) as house, watched(house):
        await house.router.generate(ASK)
        await anyio.sleep(50)
        trial = gpu.calls[-1]
        assert (trial.model, trial.max_output_tokens) == ("other", 1)


async def test_a_model_that_thinks_before_its_first_word_is_no_frozen_one() -> None:
    async def thinks(call: Call, listener: Listener) -> Completion:
        listener.alive()
        await anyio.sleep(1)
        return Completion(text="", finish_reason="length", usage=Usage())

    gpu = ScriptedRuntime(thinks)
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(200)
        assert len(gpu.calls) >= 4
        assert house.state("gpu") == "healthy"


async def test_no_trial_where_no_model_is_well() -> None:
    gpu = ScriptedRuntime(fails(ModelMissingError("missing")))
    async with open_house(gpu=gpu) as house, watched(house):
        for model in ("big", "other"):
            with pytest.raises(Exception, match="missing"):
                await house.router.generate(GenerateRequest(prompt="hi", model=model))
        await anyio.sleep(100)
        assert len(gpu.calls) == 2


async def test_an_ollama_that_is_well_is_never_tried() -> None:
    laptop = ScriptedRuntime(health=Probe(loaded=frozenset({"small:latest"})))
    async with open_house(laptop=laptop) as house, watched(house):
        await anyio.sleep(200)
        assert len(house.gpu.calls) >= 4
        assert laptop.calls == []


@pytest.mark.parametrize(("loaded", "state"), [("small:latest", "healthy"), ("another", "unhealthy")])
async def test_an_ollama_that_stalled_is_tried_if_its_model_is_in_memory(loaded: str, state: str) -> None:
    """It replaces a frozen runner after 20 to 22 s of waiting (Ollama #12), for which no caller has the time."""
    laptop = ScriptedRuntime(in_turn(hangs(), says("Hello", after_s=22)), health=Probe(loaded=frozenset({loaded})))
    async with open_house(laptop=laptop) as house, watched(house):
        await anyio.sleep(1)
        await house.router.generate(GenerateRequest(prompt="hi", task="short-first"))
        assert house.state("laptop") == "unhealthy"
        await anyio.sleep(40)
        assert house.state("laptop") == state


async def test_nothing_is_tried_before_it_was_ever_probed() -> None:
    gpu = ScriptedRuntime(hangs())
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
        await anyio.sleep(10)
        await try_endpoint(house.router, house.endpoint("gpu"), anyio.current_time)
        assert len(gpu.calls) == 1


async def test_traffic_and_counters_that_move_save_the_trial() -> None:
    gpu = ScriptedRuntime(WORD)
    async with open_house(gpu=gpu) as house, watched(house):
        for _ in range(10):
            await anyio.sleep(20)
            await house.router.generate(ASK)
        assert len(gpu.calls) == 10
        for count in range(100):
            gpu.health = Probe(running=1, tokens_total=float(count))
            await anyio.sleep(2)
        assert len(gpu.calls) == 10, "somebody else uses it"


async def test_callers_do_not_pay_for_a_frozen_engine_twice() -> None:
    gpu = ScriptedRuntime(hangs(), health=Probe())
    async with open_house(gpu=gpu) as house, watched(house):
        slowest = 0.0
        for _ in range(100):
            begun = anyio.current_time()
            assert (await house.router.generate(ASK)).model == "small"
            slowest = max(slowest, anyio.current_time() - begun) if slowest else 0.001
            await anyio.sleep(1)
        assert slowest < 0.1, "only the first caller waited"
        assert {call.max_output_tokens for call in gpu.calls[1:]} == {1}, "later ones were trials"


async def test_while_a_trial_runs_no_other_is_made_and_callers_stay_away() -> None:
    gpu = ScriptedRuntime(in_turn(fails(StalledError("silent")), hangs()))
    async with open_house(gpu=gpu) as house:
        await Prober(house.router, anyio.current_time).probe(house.endpoint("gpu"))
        await house.router.generate(ASK)
        await anyio.sleep(4)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(try_endpoint, house.router, house.endpoint("gpu"), anyio.current_time)
            await anyio.sleep(3)
            assert len(gpu.calls) == 2
            assert (await house.router.generate(ASK)).model == "small"
            assert len(gpu.calls) == 2


async def test_a_trial_that_is_refused_for_load_is_no_failure() -> None:
    gpu = ScriptedRuntime(fails(OverloadedError("full")))
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(46)
        assert len(gpu.calls) == 1
        assert house.state("gpu") == "healthy"


async def test_a_server_that_fails_and_has_no_callers_is_not_forgotten() -> None:
    gpu = ScriptedRuntime(in_turn(fails(ServerFailedError("500")), WORD))
    async with open_house(gpu=gpu) as house, watched(house):
        await anyio.sleep(1)
        await house.router.generate(ASK)
        await anyio.sleep(40)
        assert house.state("gpu") == "unhealthy"
        await anyio.sleep(10)
        assert house.state("gpu") == "healthy"


async def test_a_demoted_engine_that_hung_is_reinstated_by_good_probes_and_a_trial() -> None:
    gpu = ScriptedRuntime(hangs())
    async with open_house(gpu=gpu) as house, watched(house):
        await house.router.generate(ASK)
        await anyio.sleep(400)
        assert house.state("gpu") in {"demoted", "recovering"}, "its probes are good, its trials are not"
        assert {call.max_output_tokens for call in gpu.calls[1:]} == {1}
        gpu.behaviour = WORD
        await anyio.sleep(100)
        assert house.state("gpu") == "healthy"


async def test_a_hang_under_traffic_is_found_within_10_s_and_in_flight_calls_still_have_their_share() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs())) as house, watched(house):
        await anyio.sleep(1)
        begun = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            assert await seconds_until_ill(house) < 10
            assert "said nothing to anyone for" in (house.router.board.health(house.endpoint("gpu")).error or "")
            assert (await house.router.generate(ASK)).model == "small"
            assert anyio.current_time() - begun < 10, "a later caller does not wait at all"


async def test_a_cold_model_on_ollama_has_its_share_to_load() -> None:
    """Ollama #13: a load that is cut short starts again from nothing."""
    laptop = ScriptedRuntime(says("loaded and answered", after_s=14), health=Probe(loaded=frozenset()))
    async with open_house(laptop=laptop) as house, watched(house):
        await anyio.sleep(1)
        result = await house.router.generate(GenerateRequest(prompt="hi", task="short-first"))
        assert result.model == "small"
        assert house.state("laptop") == "healthy"


async def test_a_runtime_that_a_reload_takes_away_is_asked_nothing_more() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES)) as house, watched(house):
        await anyio.sleep(0.5)
        old = house.router.fleet.policy.model_dump()
        for section in ("runtimes", "models", "tasks"):
            for name in ("gpu", "big", "other", "report", "triage"):
                old[section].pop(name, None)
        old["tasks"] = {"reasoning": {"models": ("small",)}}
        house.router.adopt(type(house.router.fleet.policy).model_validate(old))
        probes = house.gpu.probes
        await anyio.sleep(30)
        assert house.gpu.probes == probes
        assert (await house.router.generate(ASK)).model == "small"


async def test_an_endpoint_that_comes_back_with_a_reload_is_watched_again() -> None:
    async with open_house() as house, watched(house):
        await anyio.sleep(1)
        for replicas in (2, 1, 2, 1):
            house.router.adopt(house.policy(replicas=replicas))
        probes = house.gpu.probes
        await anyio.sleep(30)
        assert house.gpu.probes > probes
