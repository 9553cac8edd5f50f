"""The model is told the shape, in a form that fits and in the schema's own order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router_mcp.domain import Choices, Constraint, Grammar, Regex
from router_mcp.structured import instructions
from router_mcp.structured.briefing import CHARS_PER_TOKEN
from tests.unit.structured.constraints import prepared

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A person, with a title that helps nobody",
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "Such as Dr, as people write it before the name"},
        "name": {"type": "string", "examples": ["Ada"], "default": "unknown"},
        "born": {"type": "string", "format": "date"},
        "kind": {"enum": ["human", {"title": "kept"}]},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}},
        "pet": {"anyOf": [{"type": "null"}, {"const": "cat"}]},
        "other": True,
        "id": {"type": ["string", "integer"]},
    },
    "required": ["name", "born"],
    "$defs": {"friend": {"type": "object", "properties": {"a~b": {"oneOf": [{"type": "integer"}]}}}},
}


def test_with_room_the_schema_is_given_whole() -> None:
    said = instructions(prepared(SCHEMA), 10_000)
    assert json.dumps(SCHEMA, separators=(",", ":")) in said
    assert "one JSON value and nothing else" in said


def test_with_less_room_decoration_goes_before_descriptions_and_properties_keep_their_names_and_order() -> None:
    whole = len(instructions(prepared(SCHEMA), 10_000))
    said = instructions(prepared(SCHEMA), whole // CHARS_PER_TOKEN - 10)
    schema = json.loads(said.partition("\n")[2])
    assert list(schema["properties"]) == list(SCHEMA["properties"])
    assert "title" not in schema
    assert "default" not in schema["properties"]["name"]
    assert schema["properties"]["title"]["description"]
    assert schema["properties"]["kind"]["enum"] == SCHEMA["properties"]["kind"]["enum"]
    shorter = instructions(prepared(SCHEMA), len(said) // CHARS_PER_TOKEN - 10)
    assert "description" not in shorter
    assert "$defs" in shorter


def test_with_little_room_an_outline_is_given() -> None:
    said = instructions(prepared(SCHEMA), 110)
    assert '{"title"?: string, "name": string, "born": string, "kind"?: "human"|{"title": "kept"}' in said
    assert '"friends"?: [{"a~b"?: integer}], "pet"?: null | "cat", "other"?: any, "id"?: string|integer}' in said


@pytest.mark.parametrize("room", [0, 5, 40, 60, 200, 400])
@pytest.mark.parametrize(
    "constraint",
    [
        SCHEMA,
        Choices(tuple("x" * n for n in range(1, 90))),
        Regex("a{1,50}" * 40),
        Grammar("start: /a/ " * 90),
    ],
    ids=["schema", "choices", "regex", "grammar"],
)
def test_it_never_takes_more_than_its_room(constraint: Constraint | dict[str, Any], room: int) -> None:
    assert len(instructions(prepared(constraint), room)) <= room * CHARS_PER_TOKEN


def test_texts_are_told_what_they_may_be() -> None:
    assert instructions(prepared(Choices(("yes", "no"))), 100).endswith("nothing else:\nyes\nno")
    assert instructions(prepared(Regex("[a-z]+")), 100).endswith("\n[a-z]+")
    assert instructions(prepared(Grammar('root ::= "a"')), 100).endswith('\nroot ::= "a"')


def test_a_schema_that_would_be_endless_written_out_is_outlined_all_the_same() -> None:
    child = {"$ref": "#/$defs/n"}
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {f"p{at}": child for at in range(50)}}}}
    said = instructions(prepared(schema), 120)
    assert said.endswith("…")
    assert len(said) <= 360


def test_an_outline_does_not_mind_references_that_are_no_pointers() -> None:
    schema = {"$ref": "#a", "$defs": {"a": {"$anchor": "a", "type": "object", "description": "x" * 2_000}}}
    assert instructions(prepared(schema), 60)
