"""A fitted schema: no answer outgrows its room, what is required stays, and nothing is accepted that was not before."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from router_mcp.domain import JsonSchema
from router_mcp.errors import OutputInvalidError, SchemaInvalidError, UnsupportedConstraintError
from router_mcp.structured import Compiled, check, compile_for, instruction_tokens, room_of
from router_mcp.structured.fitted import LONGEST, Room
from tests.unit.structured.constraints import prepared
from tests.unit.structured.test_preflight import SAMPLE
from tests.unit.structured.test_rewriting import ROOTS, SETTINGS, VALUES

TIGHT = Room(160, 1, 40)
WIDE = Room(2_000, 4, 2_000)
TOKENIZER = LLTokenizer("byte")


def fitted(schema: dict[str, Any], room: Room = TIGHT) -> dict[str, Any]:
    """The schema that llguidance gets."""
    compiled = compile_for("vllm", prepared(schema), room=room).constraint
    assert isinstance(compiled, JsonSchema)
    return {key: value for key, value in compiled.schema.items() if key != "x-guidance"}


def rambling(schema: dict[str, Any], room: Room, dice: random.Random) -> str:
    """What a model writes that never wants to stop: any allowed byte, the end only where nothing else is allowed."""
    compiled = compile_for("vllm", prepared(schema), room=room).constraint
    assert isinstance(compiled, JsonSchema)
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_json_schema(json.dumps(compiled.schema)))
    mask = allocate_token_bitmask(1, TOKENIZER.vocab_size)
    said = bytearray()
    while len(said) < 20 * room.chars:
        fill_next_token_bitmask(matcher, mask)
        allowed = [at for at in range(32, 256) if mask[0, at // 32] >> (at % 32) & 1]
        if not allowed:
            return said.decode()
        letter = dice.choice([at for at in allowed if at < 128] or allowed)
        assert matcher.consume_token(letter)
        said.append(letter)
    raise AssertionError(f"no end: {said[:200]!r}")


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: row["name"])
def test_every_answer_of_a_fitted_schema_of_the_sample_comes_to_an_end(row: dict[str, Any]) -> None:
    ready = prepared(row["schema"])
    text = rambling(row["schema"], TIGHT, random.Random(7))
    with suppress(OutputInvalidError):  # of keywords that no engine enforces, and doubled names
        check(ready, Compiled(ready.constraint), text, "stop")
    json.loads(text)


@SETTINGS
@given(schema=ROOTS, instances=st.lists(VALUES, min_size=1, max_size=6))
def test_what_a_fitted_schema_accepts_was_accepted_before(schema: dict[str, Any], instances: list[Any]) -> None:
    try:
        ready = prepared(schema)
        tight, loose = (prepared(fitted_form(ready, room)) for room in (TIGHT, None))
    except (SchemaInvalidError, UnsupportedConstraintError):
        assume(False)
    for data in instances:
        assert not _accepts(tight, data) or _accepts(loose, data), data


def fitted_form(ready: Any, room: Room | None) -> dict[str, Any]:
    """What Ollama gets, where loose and fitted are made of the same form."""
    constraint = compile_for("ollama", ready, room=room).constraint
    assert isinstance(constraint, JsonSchema)
    return constraint.schema


def _accepts(ready: Any, data: Any) -> bool:
    try:
        check(ready, Compiled(ready.constraint), json.dumps(data), "stop")
    except OutputInvalidError:
        return False
    return True


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "born": {"type": "string", "format": "date"},
        "notes": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "object", "properties": {"story": {"type": "string"}}, "required": ["story"]},
    },
    "required": ["name", "born"],
}


def test_with_room_everything_is_asked_for_and_bounded() -> None:
    form = fitted(PERSON, WIDE)
    assert list(form["properties"]) == list(PERSON["properties"])
    assert form["required"] == ["name", "born"]
    assert 100 < form["properties"]["name"]["maxLength"] < 2_000
    assert form["properties"]["tags"]["maxItems"] > 1


def test_without_room_what_is_required_stays_and_the_rest_goes() -> None:
    form = fitted(PERSON)
    assert list(form["properties"]) == ["name", "born"]
    assert form["additionalProperties"] is False
    assert form["properties"]["name"]["maxLength"] <= 40


def test_a_required_property_is_asked_for_though_there_is_no_room_at_all() -> None:
    names = [f"property-{n}" for n in range(40)]
    form = fitted({"type": "object", "properties": {name: {"type": "integer"} for name in names}, "required": names})
    assert list(form["properties"]) == names


def test_something_is_better_than_nothing_where_nothing_is_required() -> None:
    large = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(9)}}
    form = fitted({"type": "object", "properties": {"first": large, "second": large}})
    assert list(form["properties"]) == ["first"]
    assert list(form["properties"]["first"]["properties"]) == ["p0", "p1"]


TREE = {"$ref": "#/$defs/node", "$defs": {"node": {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["name", "children"],
}}}  # fmt: skip


def test_a_tree_ends_at_the_depth_that_there_is_room_for() -> None:
    form = json.dumps(fitted(TREE))
    assert "$ref" not in form
    assert 1 <= form.count('"children": {') < 6


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"type": "integer"}, {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}),
        ({"type": "integer", "minimum": 5}, {"type": "integer", "minimum": 5, "maximum": 1_000_005}),
        ({"type": "integer", "maximum": -5e6}, {"type": "integer", "maximum": -5_000_000, "minimum": -6_000_000}),
        ({"type": "number"}, {"type": "number", "minimum": -1_000_000, "maximum": 1_000_000, "multipleOf": 0.01}),
        ({"type": "number", "minimum": 0, "maximum": 0.5}, {"type": "number", "minimum": 0, "maximum": 0.5}),
        ({"enum": ["short", "x" * 300]}, {"enum": ["short"]}),
        ({"enum": ["x" * 301, "y" * 300]}, {"enum": ["y" * 300]}),
        ({"type": "array", "maxItems": 0}, {"type": "array", "minItems": 0, "maxItems": 0, "items": False}),
        ({"type": "string", "minLength": 90}, {"type": "string", "minLength": 90, "maxLength": 90}),
        ({"type": "string", "pattern": "^[a-z]{9}x*$"}, {"type": "string", "pattern": "^[a-z]{9}x*$", "maxLength": 40}),
        ({"type": ["string", "null"], "maxLength": 3}, {"type": ["string", "null"], "maxLength": 3}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
    ],
)
def test_what_has_no_end_gets_one(schema: dict[str, Any], form: dict[str, Any]) -> None:
    made = fitted(schema)
    made.update({"pattern": schema["pattern"]} if "pattern" in schema else {})  # spelled otherwise
    assert made == form


def test_a_map_has_few_short_names() -> None:
    form = fitted({"type": "object", "additionalProperties": {"type": "integer"}})
    (pattern,) = form["patternProperties"]
    assert pattern == "^[A-Za-z0-9_.-]{1,24}$"
    assert form["maxProperties"] == 1
    assert fitted({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, WIDE)["maxProperties"] == 4


def test_a_name_is_known_by_its_pattern() -> None:
    form = fitted({"type": "object", "patternProperties": {"^line[0-9]$": {"type": "null"}}, "required": ["line1"]})
    assert form["properties"] == {"line1": {"type": "null"}}


def test_alternatives_that_do_not_fit_are_left_out() -> None:
    small: dict[str, Any] = {"type": "boolean"}
    large = {"type": "string", "minLength": 500}
    assert fitted({"anyOf": [large, small]}) == small
    assert fitted({"anyOf": [large, {"type": "string", "minLength": 400}]})["minLength"] == 400
    assert len(fitted({"anyOf": [small, {"type": "integer"}]})["anyOf"]) == 2


def test_an_untyped_schema_is_taken_for_what_it_speaks_of() -> None:
    assert fitted({"items": {"type": "null"}})["type"] == "array"
    assert fitted({"minLength": 2})["type"] == "string"
    assert "string" in fitted({"properties": {"a": {}}, "required": ["a"]})["properties"]["a"]["type"]


def test_a_tuple_keeps_its_items() -> None:
    form = fitted({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": False})
    assert form["prefixItems"] == [{"type": "null"}, {"type": "boolean"}]
    assert form["items"] is False


def test_what_no_model_writes_is_left_as_it_is() -> None:
    schema = {"type": "string", "minLength": LONGEST + 1}
    assert "maxLength" not in fitted(schema)


def test_ollama_gets_its_own_limits() -> None:
    form = fitted_form(prepared(PERSON), WIDE)
    assert form["properties"]["name"]["maxLength"] == 256, "more is slow there"
    maps = fitted_form(prepared({"type": "object", "additionalProperties": {"type": "string"}}), WIDE)
    assert maps["additionalProperties"]["maxLength"] <= 256


def test_weak_models_are_bounded_from_the_start_and_others_after_an_answer_without_an_end() -> None:
    assert room_of("vllm", 1000, short=False) is None
    assert room_of("ollama", 1000, short=False) is None
    first, second = room_of("embedded", 1000, short=False), room_of("embedded", 1000, short=True)
    assert first is not None
    assert second is not None
    assert second.chars < first.chars
    assert second.text < first.text
    repaired = room_of("vllm", 2000, short=True)
    assert repaired == Room(2000, 1, 2000)


def test_a_cpu_reads_less_about_the_constraint() -> None:
    assert instruction_tokens("vllm", 32_768) == 8_192
    assert instruction_tokens("embedded", 32_768) < 500
    assert instruction_tokens("embedded", 400) == 100


def test_alternatives_within_alternatives_are_not_all_written_out() -> None:
    depth = 6
    defs: dict[str, Any] = {f"l{depth}": {"type": "null"}}
    for level in range(depth):
        inner = {"$ref": f"#/$defs/l{level + 1}"}
        defs[f"l{level}"] = {
            "anyOf": [{"type": "object", "properties": {f"p{n}": inner}, "required": [f"p{n}"]} for n in range(8)]
        }
    form = json.dumps(fitted({"$ref": "#/$defs/l0", "$defs": defs}, WIDE))
    assert len(form) < 500_000, "of 8 to the 6th alternatives"
