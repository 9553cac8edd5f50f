"""Whether constraints fire is tried once per endpoint, when it is well, idle and has its model in memory."""

from __future__ import annotations

import anyio
import pytest

from router_mcp import status
from router_mcp.domain import (
    Call,
    Choices,
    Completion,
    Endpoint,
    GenerateRequest,
    Grammar,
    JsonSchema,
    Listener,
    Probe,
    Usage,
)
from router_mcp.errors import OutputInvalidError, ServerFailedError, UnsupportedConstraintError
from router_mcp.prober import Prober
from router_mcp.proofs import Firing, Proofs
from router_mcp.prove import QUIET_S, TOKENS, is_due, spellings
from tests.houses import House, open_house
from tests.scripted import Behaviour, ScriptedRuntime, fails, hangs, says

pytestmark = pytest.mark.anyio


def word_of(call: Call) -> str:
    """The word that only a constrained decoder writes."""
    match call.constraint:
        case JsonSchema(schema):
            return str(schema["pattern"]).strip("^$")
        case Choices(options):
            return options[0]
        case _:
            raise AssertionError(call.constraint)


def enforces(*, choices_only: bool = False) -> Behaviour:
    async def answer(call: Call, listener: Listener) -> Completion:
        await anyio.lowlevel.checkpoint()
        if choices_only and not isinstance(call.constraint, Choices):
            raise UnsupportedConstraintError("It cannot enforce maxLength.")
        text = word_of(call) if isinstance(call.constraint, Choices) else f'"{word_of(call)}"'
        return Completion(text=text, finish_reason="stop", usage=Usage())

    return answer


async def watched(house: House, seconds: float = 60) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(house.router, anyio.current_time).run)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()


def proofs(runtime: ScriptedRuntime) -> list[Call]:
    return [call for call in runtime.calls if call.request_id.startswith("proof-")]


def said_of(house: House, model: str) -> Firing:
    return next(m.constraints for m in status.models(house.router, anyio.current_time()) if m.name == model)


@pytest.mark.parametrize(
    ("behaviour", "firing", "calls"),
    [
        (enforces(), "enforced", 1),
        (enforces(choices_only=True), "enforced", 2),
        (says("Hello! How may I help?"), "ignored", 1),
        (fails(OutputInvalidError("It loops.", reason="degenerate")), "ignored", 1),
        (fails(UnsupportedConstraintError("It has no constraints.")), "refused", 2),
    ],
)
async def test_it_is_tried_once_and_shown_with_the_models(behaviour: Behaviour, firing: Firing, calls: int) -> None:
    gpu = ScriptedRuntime(behaviour, health=Probe(version="0.32.0"))
    async with open_house(gpu=gpu, proven=False) as house:
        assert said_of(house, "big") == "unproven"
        await watched(house, 40)
        assert said_of(house, "big") == firing
        assert said_of(house, "other") == firing, "a matter of the runtime"
    assert len(proofs(gpu)) == calls
    assert all(call.max_output_tokens == TOKENS for call in proofs(gpu))


async def test_an_answer_of_a_runtime_that_ignores_constraints_is_checked_all_the_same() -> None:
    gpu, laptop = ScriptedRuntime(says("Hello!")), ScriptedRuntime(says('"yes"'))
    async with open_house(gpu=gpu, laptop=laptop, proven=False) as house:
        await watched(house, 40)
        assert said_of(house, "big") == "ignored"
        result = await house.router.structured(str, "Well?")
    assert (result.data, result.model) == ("yes", "small")


async def test_another_version_is_another_server() -> None:
    gpu = ScriptedRuntime(enforces(), health=Probe(version="0.31.0"))
    async with open_house(gpu=gpu, proven=False) as house:
        await watched(house, 40)
        gpu.health, gpu.behaviour = Probe(version="0.32.0"), says("Hello!")
        await watched(house, 40)
        assert said_of(house, "big") == "ignored"


async def test_a_model_is_never_loaded_for_it() -> None:
    laptop = ScriptedRuntime(enforces(), health=Probe(loaded=frozenset()))
    async with open_house(laptop=laptop, proven=False) as house:
        await watched(house)
        assert not laptop.calls
        laptop.health = Probe(loaded=frozenset({"small:latest"}))
        await watched(house)
        assert said_of(house, "small") == "enforced"
    assert len(laptop.calls) == 1


async def test_callers_come_first() -> None:
    gpu = ScriptedRuntime(enforces())
    async with open_house(gpu=gpu, proven=False) as house, anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(house.router, anyio.current_time).run)
        for _ in range(6):
            await house.router.generate(GenerateRequest(prompt="Well?", constraint=Choices(("yes",)), model="big"))
            await anyio.sleep(QUIET_S / 2)
        assert not proofs(gpu)
        await anyio.sleep(QUIET_S)
        assert proofs(gpu)
        tasks.cancel_scope.cancel()


async def test_who_switches_trials_off_switches_this_off() -> None:
    gpu = ScriptedRuntime(enforces())
    async with open_house(gpu=gpu, proven=False) as house:
        policy = house.policy()
        house.router.adopt(policy.model_copy(update={"health": policy.health.model_copy(update={"canary": 0})}))
        await watched(house, 40)
    assert not gpu.calls


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [(fails(ServerFailedError("It failed (500).")), r"failed \(500\)"), (hangs(), "finished no short answer in 50 s")],
)
async def test_a_failure_is_held_against_the_endpoint_and_proves_nothing(behaviour: Behaviour, said: str) -> None:
    gpu = ScriptedRuntime(behaviour)
    async with open_house(gpu=gpu, proven=False) as house:
        await watched(house, 58)
        assert said_of(house, "big") == "unproven"
        assert house.state("gpu") == "unhealthy"
        assert house.router.board.health(house.endpoint("gpu")).error
    assert len(proofs(gpu)) == 1


def test_the_embedded_runtime_is_asked_the_way_that_it_is_asked_for_schemas() -> None:
    (grammar,) = spellings("embedded", "c0ffee")
    assert grammar == Grammar('%llguidance {}\nstart: "c0ffee"')
    assert len(spellings("vllm", "c0ffee")) == 2
    assert len(spellings("ollama", "c0ffee")) == 1


async def test_before_an_endpoint_was_heard_of_nothing_is_due() -> None:
    async with open_house(proven=False) as house:
        assert not is_due(house.router, house.endpoint("gpu"), anyio.current_time())


def test_the_worst_replica_counts_and_forgotten_ones_do_not() -> None:
    one, two = (Endpoint(runtime="gpu", url=f"http://{n}") for n in "12")
    known = Proofs()
    known.found(one, None, "enforced")
    assert known.of((one, two)) == "unproven"
    known.found(two, "1", "ignored")
    assert known.of((one, two)) == "ignored"
    assert known.of(()) == "unproven"
    known.keep((one,))
    assert not known.is_known(two, "1")
    assert known.of((one,)) == "enforced"
