"""A constraint that is wrong or dangerous is refused before a token is spent, and the refusal names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import SchemaInvalidError
from router_mcp.structured import Preparer
from tests.unit.structured.constraints import answer, fault, prepared

SAMPLE = json.loads((Path(__file__).parents[2] / "data" / "jsonschemabench-sample.json").read_text())
DRAFT4 = "http://json-schema.org/draft-04/schema#"
DRAFT7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: row["name"])
def test_every_real_schema_of_the_sample_passes_and_so_does_its_valid_example(row: dict[str, Any]) -> None:
    ready = prepared(row["schema"])
    assert ready.kind == "json_schema"
    if row.get("valid_example") is not None:
        assert answer(row["schema"], json.dumps(row["valid_example"])) == row["valid_example"]


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "banana"}, "/type must be one or a list of"),
        ({"properties": {"a/b": {"minLength": -1}}}, "/properties/a~1b/minLength must be a whole number"),
        ({"properties": []}, "/properties must be an object whose values are schemas"),
        ({"allOf": []}, "/allOf must be a list of at least one schema"),
        ({"items": [{}]}, "use prefixItems"),
        ({"exclusiveMinimum": True}, "belong to draft-04"),
        ({"multipleOf": 0}, "/multipleOf must be a number above 0"),
        ({"required": ["a", "a"]}, "/required must be a list of different strings"),
        ({"uniqueItems": 1}, "/uniqueItems must be true or false"),
        ({"enum": {}}, "/enum must be a list"),
        ({"format": 3}, "/format must be a string"),
        ({"dependentRequired": {"a": "b"}}, "/dependentRequired must be an object whose values are lists"),
        ({"dependencies": {"a": 1}}, "/dependencies must be an object whose values are schemas or lists"),
        ({"not": 3}, "/not must be a schema"),
        ({"$schema": DRAFT4, "items": 3}, "/items must be a schema or a list of schemas"),
        ({"$schema": DRAFT4, "items": True}, "/items must be an object in draft-04"),
        ({"$schema": "urn:mine"}, "/$schema names a dialect that is not known"),
        ({"$schema": 4}, "/$schema names a dialect that is not known"),
        ({"properties": {"a": {"$schema": DRAFT7}}}, "/properties/a/$schema names another dialect"),
        ({"$ref": "#/$defs/nope"}, "/$ref points to nothing in the schema"),
        ({"$ref": "https://example.org/s.json"}, "/$ref points outside the schema"),
        ({"$ref": "other.json#/a"}, "/$ref points outside the schema"),
        (
            {"$schema": "https://json-schema.org/draft/2019-09/schema", "items": {"$recursiveRef": "#/$defs/a"}},
            "/items/$recursiveRef must be #",
        ),
        ({"$ref": "#/title", "title": "no schema"}, "/$ref points to something that is no schema"),
        ({"$id": "https://example.org/", "properties": {"a": {"$ref": "b"}}}, "/properties/a/$ref points outside"),
        ({"pattern": "("}, "regular expression at /pattern has an unclosed group"),
        ({"patternProperties": {"a/(": {}}}, "/patternProperties/a~1( has an unclosed group"),
        ({"anyOf": [{"$ref": "#"}, {}]}, "refers to itself without going into"),
        ({"anyOf": [{"const": at} for at in range(501)]}, "/anyOf has 501 members, more than 500"),
        ({"allOf": [{"$ref": "#/$defs/a"}] * 400, "$defs": {"a": {"allOf": [{}] * 10}}}, "by more than 2,000 schemas"),
        ({"enum": list(range(10_001))}, "/enum has more than 10,000 values"),
        ({1: {}}, None),
        ({"a": float("nan")}, "is not JSON"),
        ({"a": {1, 2}}, "is not JSON"),
        ({"prefixItems": [{}] * 10_001}, "holds more than 10,000 schemas"),
    ],
)
def test_a_malformed_schema_is_refused_and_the_place_is_named(schema: dict[Any, Any], named: str | None) -> None:
    if named is None:
        assert prepared(schema)
        return
    with pytest.raises(SchemaInvalidError) as refused:
        prepared(schema)
    assert named in str(refused.value)
    assert refused.value.code == "schema_invalid"


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"enum": []}, "enum or const at /"),
        ({"not": {}}, "not at / forbids every value"),
        ({"type": "string", "const": 1}, "has the right type"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "types at / exclude one another"),
        ({"allOf": [{}, False]}, "is false"),
        ({"oneOf": [False, {"enum": []}]}, "oneOf at / has no alternative left"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength at / is above maxLength"),
        ({"type": "string", "minLength": 100_001}, "asks for more than 100,000"),
        ({"type": "array", "minItems": 10_001}, "asks for more than 10,000"),
        ({"type": "array", "items": False, "minItems": 1}, "an item that minItems at / asks for cannot be"),
        ({"type": "array", "prefixItems": [{"enum": []}], "minItems": 1}, "an item that minItems at /"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "bounds at / leave no integer"),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "leave no integer"),
        ({"type": "number", "minimum": 1, "exclusiveMaximum": 1}, "bounds at / leave no"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, 'requires "a"'),
        ({"type": "object", "required": ["a"], "properties": {"a": False}}, 'property "a" that / requires'),
        ({"type": "object", "required": ["a", "b"], "maxProperties": 1}, "required at / has more names"),
        ({"type": "object", "minProperties": 1, "additionalProperties": False}, "minProperties at /"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no finite value satisfies"),
        ({"$schema": DRAFT4, "type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 1}, "no integer"),
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: dict[str, Any], named: str) -> None:
    with pytest.raises(SchemaInvalidError, match="No value can satisfy the schema") as refused:
        prepared(schema)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"minimum": 5, "maximum": 4}, '"not a number"'),
        ({"type": ["string", "array"], "minLength": 5, "maxLength": 4}, "[]"),
        ({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["a"]},
         '{"a": {"a": null}}'),
        ({"type": "integer", "minimum": 10**400}, str(10**400)),
        ({"$schema": DRAFT4, "const": 1, "type": "string"}, '"draft-04 has no const"'),
        ({"$schema": DRAFT7, "definitions": {"a": {"type": "null"}}, "$ref": "#/definitions/a", "enum": []}, "null"),
        ({"$schema": DRAFT7, "items": [{"type": "null"}], "additionalItems": False}, "[null]"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "properties": {"a": {"$recursiveRef": "#"}}},
         '{"a": {}}'),
        ({"$ref": "#/$defs/yes", "$defs": {"yes": True}}, "3"),
        ({"$id": "https://example.org/root", "$ref": "#a", "$defs": {"a": {"$anchor": "a", "type": "null"}}}, "null"),
        ({"items": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "null"}}, "[null]"),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, '{"a": 1, "b": 2}'),
    ],
)  # fmt: skip
def test_a_schema_that_something_satisfies_is_let_through(schema: dict[str, Any], example: str) -> None:
    assert answer(schema, example) == json.loads(example)


def test_a_chain_of_definitions_too_long_to_follow_counts_as_satisfiable() -> None:
    defs = {f"d{at}": {"required": ["a"], "properties": {"a": {"$ref": f"#/$defs/d{at + 1}"}}} for at in range(80)}
    assert answer({"$ref": "#/$defs/d0", "$defs": {**defs, "d80": {}}}, '"not an object"') == "not an object"


def test_a_reference_to_false_is_refused_as_unsatisfiable() -> None:
    with pytest.raises(SchemaInvalidError, match="No value can satisfy"):
        prepared({"$ref": "#/$defs/no", "$defs": {"no": False}})


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        (Choices(()), "no choices"),
        (Choices(("a", "a")), "stands twice"),
        (Choices(("a", " ")), "empty or only white space"),
        (Choices(tuple(map(str, range(10_001)))), "more than 10,000 choices"),
        (Choices(("\ud800",)), "half a surrogate pair"),
        (Regex("("), "The regex has an unclosed group"),
        (Regex(r"(a)\1"), "back-reference"),
        (Grammar("hello"), "neither GBNF"),
        (Grammar("root ::= nope"), "uses the rule nope"),
        (Grammar("x" * 70_000), "more than 65,536 characters"),
        (JsonSchema([]), "not a JSON object"),  # type: ignore[arg-type]  # what a careless library user passes
    ],
)
def test_a_wrong_choice_regex_or_grammar_is_refused(constraint: Constraint, named: str) -> None:
    with pytest.raises(SchemaInvalidError, match=named.replace("(", r"\(")):
        prepared(constraint)


def test_the_same_constraint_is_prepared_once_and_has_one_key_everywhere() -> None:
    preparer = Preparer(size=2)
    first = preparer.prepare(JsonSchema({"type": "integer"}))
    assert preparer.prepare(JsonSchema({"type": "integer"})) is first
    assert first == Preparer().prepare(JsonSchema({"type": "integer"}))
    assert hash(first) == hash(Preparer().prepare(JsonSchema({"type": "integer"})))
    assert first != preparer.prepare(JsonSchema({"type": "string"}))
    assert first.key != preparer.prepare(Regex('{"type":"integer"}')).key


def test_only_the_last_constraints_are_remembered() -> None:
    preparer = Preparer(size=1)
    first = preparer.prepare(Regex("a"))
    preparer.prepare(Regex("b"))
    assert preparer.prepare(Regex("a")) is not first


def test_a_later_change_to_the_callers_schema_changes_nothing() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    ready = prepared(schema)
    schema["type"] = "string"
    assert fault({"type": "integer"}, '"x"').reason == "violation"
    assert ready.key == prepared({"type": "integer"}).key
