"""Schemas come out flat, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from router_mcp.edge.schemas import flat, flaws


class Leaf(BaseModel):
    title: str
    default: int | None = None


class Tree(BaseModel):
    leaf: Leaf = Field(description="the one", default=Leaf(title="x"))
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}


class Loop(BaseModel):
    again: list[Loop] = []


def test_references_are_inlined_and_keep_what_stands_beside_them() -> None:
    schema = flat(Tree.model_json_schema())
    leaf = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "default": {"type": "integer"}},
        "required": ["title"],
    }
    properties = schema["properties"]
    assert properties["leaf"] == {**leaf, "description": "the one", "default": {"title": "x", "default": None}}
    assert properties["leaves"] == {"type": "array", "items": leaf, "default": []}
    assert properties["by_name"]["additionalProperties"] == leaf
    assert flaws(schema, unions=False) == []


def test_a_schema_that_refers_to_itself_has_no_flat_form() -> None:
    with pytest.raises(ValueError, match="Loop refers to itself"):
        flat(Loop.model_json_schema())


def test_data_in_a_schema_is_left_alone() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [{"title": "kept"}], "examples": [{"default": None}]}}}
    assert flat(schema) == schema


def test_a_choice_of_real_types_stays_one() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
    assert flat(schema) == schema


@pytest.mark.parametrize(
    ("schema", "flaw"),
    [
        ({"type": "array"}, "the root is not an object"),
        ({"type": "object", "oneOf": []}, "oneOf at the root"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x"}}}, "properties.a: $ref"),
        ({"type": "object", "properties": {"a": {"items": [{"allOf": []}]}}}, "properties.a.items[0]: allOf"),
    ],
)
def test_what_clients_refuse_is_named_with_its_place(schema: dict[str, Any], flaw: str) -> None:
    assert flaw in flaws(schema, unions=False)


def test_a_result_may_hold_a_choice_of_types_below_its_root() -> None:
    schema = {"type": "object", "properties": {"vector": {"anyOf": [{"type": "array"}, {"type": "string"}]}}}
    assert flaws(schema, unions=True) == []
    assert flaws(schema, unions=False) == ["properties.vector: anyOf"]
