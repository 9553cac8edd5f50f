"""Choices and regular expressions on Ollama: asked for as schemas of one string, unwrapped again, and checked."""

from __future__ import annotations

import json

import pytest

from router_mcp.domain import Choices, Completion, Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import OutputInvalidError, UnsupportedConstraintError
from router_mcp.structured import Preparer, check, compile_for
from router_mcp.structured.patterns import compile_search
from tests.contract.calls import Heard
from tests.contract.ollama_traffic import a_runtime, answers, call_of, ends, exchange, replayed, says
from tests.contract.replay import Replay

pytestmark = pytest.mark.anyio

PHONE = r"\([0-9]{3}\) [0-9]{3}-[0-9]{4}"


def judged(constraint: Constraint, completion: Completion) -> object:
    """What a caller gets for a completion."""
    ready = Preparer().prepare(constraint)
    return check(ready, compile_for("ollama", ready), completion.text, completion.finish_reason)


@pytest.mark.parametrize("route", ["r", "n"])
async def test_choices_are_the_enum_that_was_recorded_and_come_back_bare(route: str) -> None:
    name, choices = f"030_{route}_schema_top_level_string_enum", Choices(("yes", "no"))
    compiled = compile_for("ollama", Preparer().prepare(choices))
    completion = await replayed(name, constraint=compiled.constraint)
    assert compiled.constraint == JsonSchema(exchange(name).json["format"])
    assert completion.text in {'"yes"', '"no"'}
    assert judged(choices, completion) == json.loads(completion.text)


@pytest.mark.parametrize("route", ["r", "n"])
async def test_a_regex_is_a_pattern_and_means_what_the_recorded_one_means(route: str) -> None:
    name = f"030_{route}_schema_pattern"
    compiled = compile_for("ollama", Preparer().prepare(Regex(PHONE))).constraint
    assert isinstance(compiled, JsonSchema)
    recorded = exchange(name).json["format"]["properties"]["phone"]["pattern"]
    phone = json.loads((await replayed(name)).text)["phone"]
    for pattern in (recorded, compiled.schema["pattern"]):
        assert pattern.startswith("^")
        assert pattern.endswith("$"), "llama.cpp takes no other"
        assert compile_search(pattern).matches(phone)
        assert not compile_search(pattern).matches(f"{phone}0")


@pytest.mark.parametrize(
    ("constraint", "said", "data"),
    [
        (Choices(("yes", "no")), '"no"', "no"),
        (Choices(("yes", "no")), "no", "no"),
        (Regex(PHONE), '"(491) 930-1843"', "(491) 930-1843"),
        (Choices(('say "no"',)), '"say \\"no\\""', 'say "no"'),
    ],
)
async def test_what_was_wrapped_is_unwrapped(constraint: Constraint, said: str, data: str) -> None:
    compiled = compile_for("ollama", Preparer().prepare(constraint)).constraint
    runtime = a_runtime(Replay([answers(says(said), ends())], keys=[]))

    completion = await runtime.generate(call_of({}, constraint=compiled), Heard())
    assert judged(constraint, completion) == data


@pytest.mark.parametrize(("constraint", "said"), [(Choices(("yes", "no")), '"maybe"'), (Regex(PHONE), '"(491) 930"')])
def test_what_ollama_does_not_enforce_is_no_success(constraint: Constraint, said: str) -> None:
    ready = Preparer().prepare(constraint)
    with pytest.raises(OutputInvalidError):
        check(ready, compile_for("ollama", ready), said, "stop")


def test_a_grammar_goes_to_the_next_candidate() -> None:
    with pytest.raises(UnsupportedConstraintError, match="Ollama has no grammars"):
        compile_for("ollama", Preparer().prepare(Grammar('root ::= "a"')))
