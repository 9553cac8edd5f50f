"""Invalid as success is 0: whatever a runtime does with a constraint, the caller gets valid data or an error."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from router_mcp.domain import Choices, Constraint, GenerateRequest, Grammar, JsonSchema, Regex
from router_mcp.errors import (
    BrokenStreamError,
    DeadlineError,
    OutputInvalidError,
    QuarantinedError,
    RouterError,
    SchemaInvalidError,
    ServerFailedError,
    UnreachableError,
    UnsupportedConstraintError,
)
from router_mcp.structured.quarantine import FIRST_S, GROWTH
from tests.houses import House, open_house
from tests.scripted import REFUSES, Behaviour, ScriptedRuntime, fails, hangs, in_turn, says
from tests.unit.structured.test_official_suite import FILES, cases

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
ASK = GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER))

FAULTS: dict[str, Behaviour] = {
    "ignores the constraint": says('{"m": 1}'),
    "truncates": says('{"n": 1', finish="length"),
    "truncates and says stop": says('{"n": '),
    "prose": says("The number that you asked for is 1."),
    "fenced JSON": says('```json\n{"n": 1}\n```'),
    "two objects": says('{"n": 1} {"n": 2}'),
    "prose around it": says('Here you are: {"n": 1}. Anything else?'),
    "a name twice": says('{"n": 1, "n": 2}'),
    "NaN": says('{"n": NaN}'),
    "half a surrogate": says('{"n": "\ud800"}'),
    "half a surrogate, escaped": says('{"n": 1, "\\ud800": 2}'),
    "white space without end": says(" " * 5_000),
    "a loop": says('{"n": ' + "1 " * 4_000),
    "nothing": says(""),
    "a schema instead of data": says(json.dumps(NUMBER)),
    "data in a string": says(json.dumps('{"n": 1}')),
    "invalid UTF-8": fails(BrokenStreamError("It answered what cannot be read."), after_text='{"n": 1'),
    "a complete answer on a broken stream": fails(BrokenStreamError("It broke off."), after_text='{"n": 1}'),
    "a hang within the data": hangs('{"n": 1}'),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_runtime_with_a_fault_gives_an_error_and_never_data(name: str) -> None:
    async with open_house(gpu=ScriptedRuntime(FAULTS[name]), laptop=ScriptedRuntime(FAULTS[name])) as house:
        with pytest.raises(RouterError) as raised:
            await house.router.generate(ASK)
    assert raised.value.code in {"output_invalid", "backend_unavailable", "deadline"}
    assert len(str(raised.value)) < 2_500


@pytest.mark.parametrize("name", FAULTS)
async def test_the_next_model_puts_it_right(name: str) -> None:
    async with open_house(gpu=ScriptedRuntime(FAULTS[name]), laptop=ScriptedRuntime(says('{"n": 7}'))) as house:
        result = await house.router.generate(ASK)
    assert (result.data, result.model, result.fallback_from) == ({"n": 7}, "small", ("big",))


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        (Choices(("yes", "no")), "Yes, I think."),
        (Choices(("yes", "no")), '"maybe"'),
        (Regex("[0-9]{3}"), "12"),
        (Regex("[0-9]{3}"), "It is 123."),
        (Grammar('start: "a" "b"'), "ac"),
        (Grammar('root ::= "a" | "b"'), "c"),
    ],
)
async def test_texts_are_checked_as_data_is(constraint: Constraint, wrong: str) -> None:
    async with open_house(gpu=ScriptedRuntime(says(wrong)), laptop=ScriptedRuntime(says(wrong))) as house:
        with pytest.raises((OutputInvalidError, UnsupportedConstraintError)):
            await house.router.generate(GenerateRequest(prompt="x", constraint=constraint))


@pytest.mark.parametrize(("draft", "name"), FILES, ids=map("-".join, FILES))
async def test_the_official_suite_s_invalid_data_is_never_a_success(draft: str, name: str) -> None:
    for schema, instances in cases(draft, name):
        for data in [data for data, valid in instances if not valid][:2]:
            gpu = ScriptedRuntime(says(json.dumps(data)))
            request = GenerateRequest(prompt="x", model="big", constraint=JsonSchema(schema))
            async with open_house(gpu=gpu) as house:
                with pytest.raises((OutputInvalidError, SchemaInvalidError, UnsupportedConstraintError)) as raised:
                    await house.router.generate(request)
            assert str(raised.value)


async def test_after_an_answer_without_an_end_the_next_is_bounded() -> None:
    story = {"type": "object", "properties": {"story": {"type": "string"}}, "required": ["story"]}
    gpu = ScriptedRuntime(in_turn(says('{"story": "Once', finish="length"), says('{"story": "Short."}')))
    request = GenerateRequest(prompt="Tell.", constraint=JsonSchema(story), max_output_tokens=100)
    async with open_house(gpu=gpu) as house:
        assert (await house.router.generate(request)).data == {"story": "Short."}
    first, second = (sent_schema(call.constraint) for call in gpu.calls)
    assert "maxLength" not in first["properties"]["story"]
    assert second["properties"]["story"]["maxLength"] <= 200
    assert gpu.calls[1].max_output_tokens == 200


async def test_a_violation_keeps_the_form_for_who_knows_its_end() -> None:
    gpu = ScriptedRuntime(in_turn(says('{"n": "x"}'), says('{"n": 1}')))
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
    assert gpu.calls[0].constraint == gpu.calls[1].constraint


async def test_a_loop_that_was_cut_is_repaired_with_words() -> None:
    gpu = ScriptedRuntime(in_turn(says('{"n": ' + "1 " * 4_000), says('{"n": 1}')))
    async with open_house(gpu=gpu) as house:
        assert (await house.router.generate(ASK)).data == {"n": 1}
    assert "do not repeat yourself" in gpu.calls[1].messages[-1].content


def sent_schema(constraint: Constraint | None) -> dict[str, Any]:
    assert isinstance(constraint, JsonSchema)
    return constraint.schema


async def test_a_spelling_that_is_refused_is_followed_by_the_plainest() -> None:
    refused = fails(UnsupportedConstraintError("It cannot enforce minLength. Simplify it."))
    gpu = ScriptedRuntime(in_turn(refused, says('{"a": "xyz"}')))
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]}
    async with open_house(gpu=gpu) as house:
        result = await house.router.generate(GenerateRequest(prompt="x", constraint=JsonSchema(schema)))
    assert result.model == "big"
    assert "minLength" in json.dumps(sent_schema(gpu.calls[0].constraint))
    assert "minLength" not in json.dumps(sent_schema(gpu.calls[1].constraint))


async def test_the_plainest_is_tried_once_and_its_answer_is_checked_against_the_schema_itself() -> None:
    refused = fails(UnsupportedConstraintError("It cannot enforce this. Simplify it."))
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]}
    request = GenerateRequest(prompt="x", constraint=JsonSchema(schema), model="big")
    async with open_house(gpu=ScriptedRuntime(in_turn(refused, says('{"a": "x"}')))) as house:
        with pytest.raises(OutputInvalidError, match="/a"):
            await house.router.generate(request)
    gpu = ScriptedRuntime(refused)
    async with open_house(gpu=gpu) as house:
        with pytest.raises(UnsupportedConstraintError):
            await house.router.generate(request)
    assert len(gpu.calls) == 2


KILLS = fails(ServerFailedError("Its engine has died (500)."))


async def fails_with(house: House, error: type[RouterError], request: GenerateRequest = ASK) -> RouterError:
    with pytest.raises(error) as raised:
        await house.router.generate(request)
    return raised.value


async def is_well_again(house: House) -> None:
    for endpoint in house.router.fleet.endpoints():
        for _ in range(4):
            house.router.board.succeeded(endpoint, "big", anyio.current_time())


async def test_a_schema_that_an_engine_died_of_twice_is_not_sent_there_again_for_a_while() -> None:
    gpu, pinned = ScriptedRuntime(KILLS), GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), model="big")
    async with open_house(gpu=gpu) as house:
        for _ in range(2):
            await fails_with(house, RouterError, pinned)
            await is_well_again(house)
        gpu.behaviour = says('{"n": 1}')
        error = await fails_with(house, QuarantinedError, pinned)
        assert error.code == "unsupported_constraint"
        assert error.retry_after_s
        assert error.receipt
        assert [attempt.outcome for attempt in error.receipt.attempts] == ["quarantined"]
        assert len(gpu.calls) == 2
        plain = GenerateRequest(prompt="n", model="big")
        assert (await house.router.generate(plain)).model == "big", "the engine itself is well"
        await anyio.sleep(FIRST_S * GROWTH)
        assert (await house.router.generate(pinned)).data == {"n": 1}


async def test_an_engine_that_fell_once_is_asked_again_when_nobody_else_is_left() -> None:
    """While a runtime that can serve is up, no caller sees an error: one coincidence may be a restart."""
    gpu, laptop = ScriptedRuntime(KILLS), ScriptedRuntime(says('{"n": 2}'))
    async with open_house(gpu=gpu, laptop=laptop) as house:
        await house.router.generate(ASK)
        await is_well_again(house)
        gpu.behaviour, laptop.behaviour = says('{"n": 1}'), REFUSES
        result = await house.router.generate(ASK)
    assert result.model == "big"
    assert [attempt.outcome for attempt in result.receipt.attempts] == ["quarantined", "unreachable", "ok"]


async def test_an_outage_in_the_middle_of_many_calls_is_one_coincidence() -> None:
    gpu = ScriptedRuntime(fails(BrokenStreamError("It broke off."), after_text="{", after_s=1.0))
    pinned = GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), model="big")
    async with open_house(gpu=gpu) as house:
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(fails_with, house, RouterError, pinned)
        await is_well_again(house)
        gpu.behaviour = says('{"n": 1}')
        assert (await house.router.generate(pinned)).data == {"n": 1}


async def test_the_next_model_serves_what_is_quarantined() -> None:
    gpu, laptop = ScriptedRuntime(KILLS), ScriptedRuntime(says('{"n": 2}'))
    async with open_house(gpu=gpu, laptop=laptop) as house:
        assert (await house.router.generate(ASK)).model == "small"
        await is_well_again(house)
        result = await house.router.generate(ASK)
    assert (result.model, result.attempts) == ("small", 1)
    assert len(gpu.calls) == 1


async def test_one_call_kills_two_replicas_at_most() -> None:
    gpu = ScriptedRuntime(KILLS)
    async with open_house(gpu=gpu, replicas=5, laptop=ScriptedRuntime(says('{"n": 2}'))) as house:
        assert (await house.router.generate(ASK)).model == "small"
    assert len(gpu.calls) == 2


async def test_a_replica_that_fails_by_itself_does_not_make_the_schema_suspect() -> None:
    gpu = ScriptedRuntime(in_turn(KILLS, says('{"n": 1}')))
    async with open_house(gpu=gpu, replicas=2) as house:
        assert (await house.router.generate(ASK)).model == "big"
        assert (await house.router.generate(ASK)).model == "big"


@pytest.mark.parametrize(
    "behaviour", [fails(BrokenStreamError("It broke off."), after_text="{"), hangs(), fails(UnreachableError("Gone."))]
)
async def test_a_schema_in_steady_use_is_never_suspected(behaviour: Behaviour) -> None:
    gpu = ScriptedRuntime(in_turn(says('{"n": 1}'), behaviour, says('{"n": 3}')))
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
        await fails_with(house, RouterError, GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), model="big"))
        await is_well_again(house)
        assert (await house.router.generate(ASK)).data == {"n": 3}


async def test_an_endpoint_that_was_never_there_does_not_make_the_schema_suspect() -> None:
    gpu, pinned = ScriptedRuntime(REFUSES), GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), model="big")
    async with open_house(gpu=gpu) as house:
        await fails_with(house, RouterError, pinned)
        gpu.behaviour = says('{"n": 1}')
        await is_well_again(house)
        assert (await house.router.generate(pinned)).data == {"n": 1}


async def test_a_structured_call_keeps_its_deadline_and_hands_over_no_part_of_the_data() -> None:
    slow = says('{"n": 1, ' + " ".join(f'"x{n}": 1,' for n in range(40)), each_s=1.0)
    async with open_house(gpu=ScriptedRuntime(slow), laptop=ScriptedRuntime(slow)) as house:
        begun = anyio.current_time()
        await fails_with(house, DeadlineError)
        assert anyio.current_time() - begun <= 30.5


async def test_a_second_try_is_as_long_as_there_is_time_for() -> None:
    story = {"type": "object", "properties": {"story": {"type": "string"}}, "required": ["story"]}
    slow = says('{"story": "' + "word " * 24, finish="length", each_s=1.0)  # 5 characters a second, for 24 seconds
    gpu = ScriptedRuntime(in_turn(slow, says('{"story": "Short."}')))
    request = GenerateRequest(prompt="Tell.", constraint=JsonSchema(story), max_output_tokens=1000, model="big")
    async with open_house(gpu=gpu) as house:
        assert (await house.router.generate(request)).data == {"story": "Short."}
    longest = sent_schema(gpu.calls[1].constraint)["properties"]["story"]["maxLength"]
    assert longest < 100, "of the 2,000 characters that its tokens would allow"
