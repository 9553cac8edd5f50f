"""Schemas that would stall an engine or a check: references that go round, alternatives that multiply."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from router_mcp.errors import SchemaInvalidError
from router_mcp.structured.document import REFERENCES, Document, Schema, subschemas
from router_mcp.structured.limits import ALTERNATIVES, BRANCHES, DEFINITION_LEVELS, LOOKS, PROPERTIES

IN_PLACE: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
"""Keywords whose schemas look at the same value, as a reference does."""


def refuse_explosive(document: Document) -> None:
    """Raise `SchemaInvalidError` naming the place when a value would never be left, or alternatives explode."""
    for node in document.nodes:
        if isinstance(node.schema, dict):
            _refuse_wide(node.pointer, node.schema)
    _refuse_loops(document)
    _refuse_long(document)
    ways, looks = _Ways(document).of(document.root)
    if looks > LOOKS:
        raise SchemaInvalidError(
            f"The schema has a value looked at by more than {LOOKS:,} schemas, through allOf, anyOf, oneOf or $ref. "
            "Merge some of them."
        )
    if ways > ALTERNATIVES:
        raise SchemaInvalidError(
            f"The schema's anyOf, oneOf and $ref multiply to more than {ALTERNATIVES:,} alternatives. "
            "Merge alternatives that look alike, or nest fewer of them."
        )


def in_place(document: Document, schema: dict[str, Any]) -> Iterator[tuple[str, Schema]]:
    """The schemas that must look at the same value, with the keyword that says so."""
    for keyword in REFERENCES:
        if (id(schema), keyword) in document.targets:
            yield keyword, document.target(schema, keyword).schema
            if keyword == "$ref" and document.dialect.ref_hides_siblings:
                return
    for keyword, _, inner in subschemas(document.dialect, schema):
        if keyword in IN_PLACE:
            yield keyword, inner


def _refuse_wide(pointer: str, schema: dict[str, Any]) -> None:
    for keyword, most in (("anyOf", BRANCHES), ("oneOf", BRANCHES), ("allOf", BRANCHES), ("properties", PROPERTIES)):
        value = schema.get(keyword)
        if isinstance(value, list | dict) and len(value) > most:
            raise SchemaInvalidError(
                f"The schema's {pointer}/{keyword} has {len(value):,} members, more than {most:,}. Use fewer."
            )


def _refuse_loops(document: Document) -> None:
    graph = {
        id(node.schema): [id(inner) for _, inner in in_place(document, node.schema) if isinstance(inner, dict)]
        for node in document.nodes
        if isinstance(node.schema, dict)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as loop:
        place = document.pointers.get(loop.args[1][0], "") or "/"
        raise SchemaInvalidError(
            f"The schema's {place} refers to itself without going into a property or an item, so no value ever "
            "satisfies or breaks it. Remove the loop."
        ) from loop


def _refuse_long(document: Document) -> None:
    """What is referred to must be shallow as a whole, whatever refers to what."""
    named = {id(node.schema): node.schema for node in document.targets.values() if isinstance(node.schema, dict)}
    levels = sum(_levels(document, schema) for schema in named.values())
    if levels > DEFINITION_LEVELS:
        raise SchemaInvalidError(
            f"The schema's definitions add up to {levels:,} levels, more than {DEFINITION_LEVELS:,}. Use fewer $ref."
        )


def _levels(document: Document, root: dict[str, Any]) -> int:
    levels = 0
    now: list[Schema] = [root]
    while now:
        levels += 1
        now = [
            inner
            for schema in now
            if isinstance(schema, dict)
            for keyword, _, inner in subschemas(document.dialect, schema)
            if keyword not in {"$defs", "definitions"}
        ]
    return levels


class _Ways:
    """Counts the ways through a schema, and the schemas that look at one value at most.

    Where a schema holds itself, the inner one counts as one way.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.known: dict[int, tuple[int, int]] = {}
        self.looks = 0

    def of(self, root: dict[str, Any]) -> tuple[int, int]:
        stack: list[tuple[Schema, bool]] = [(root, False)]
        open_now: set[int] = set()
        while stack:
            schema, expanded = stack.pop()
            if not isinstance(schema, dict) or id(schema) in self.known:
                continue
            if expanded:
                self.known[id(schema)] = self.count(schema)
                self.looks = max(self.looks, self.known[id(schema)][1])
                open_now.discard(id(schema))
            elif id(schema) not in open_now:
                open_now.add(id(schema))
                stack.append((schema, True))
                stack.extend((inner, False) for inner in self.below(schema))
        return self.known[id(root)][0], self.looks

    def below(self, schema: dict[str, Any]) -> list[Schema]:
        inside = [inner for _, _, inner in subschemas(self.document.dialect, schema)]
        return inside + [inner for keyword, inner in in_place(self.document, schema) if keyword in REFERENCES]

    def measure(self, schema: Schema) -> tuple[int, int]:
        return self.known.get(id(schema), (1, 1)) if isinstance(schema, dict) else (1, 1)

    def count(self, schema: dict[str, Any]) -> tuple[int, int]:
        unions: dict[str, int] = {}
        ways = looks = 1
        for keyword, inner in in_place(self.document, schema):
            inner_ways, inner_looks = self.measure(inner)
            looks += inner_looks
            if keyword in {"anyOf", "oneOf"}:
                unions[keyword] = unions.get(keyword, 0) + inner_ways
            else:
                ways *= inner_ways
        for total in unions.values():
            ways *= total
        descents = [self.measure(inner)[0] for keyword, _, inner in subschemas(self.document.dialect, schema)
                    if keyword not in IN_PLACE and keyword not in {"$defs", "definitions"}]  # fmt: skip
        return min(ways * max(descents, default=1), ALTERNATIVES + 1), min(looks, LOOKS + 1)
