"""Schemas that would stall an engine or a check: references that go round, alternatives that multiply."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from router_mcp.errors import SchemaInvalidError
from router_mcp.structured.document import REFERENCES, Document, Schema, subschemas
from router_mcp.structured.limits import ALTERNATIVES, BRANCHES, PROPERTIES

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
    ways = _Ways(document).of(document.root)
    if ways > ALTERNATIVES:
        raise SchemaInvalidError(
            f"The schema's anyOf, oneOf and $ref multiply to more than {ALTERNATIVES:,} alternatives. "
            "Merge alternatives that look alike, or nest fewer of them."
        )


def in_place(document: Document, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas that must look at the same value, with the keyword that says so."""
    if not isinstance(schema, dict):
        return
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


class _Ways:
    """Counts the ways through a schema. Where a schema holds itself, the inner one counts as one way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.known: dict[int, int] = {}

    def of(self, root: dict[str, Any]) -> int:
        stack: list[tuple[Schema, bool]] = [(root, False)]
        open_now: set[int] = set()
        while stack:
            schema, expanded = stack.pop()
            if not isinstance(schema, dict) or id(schema) in self.known:
                continue
            if expanded:
                self.known[id(schema)] = self.count(schema)
                open_now.discard(id(schema))
            elif id(schema) not in open_now:
                open_now.add(id(schema))
                stack.append((schema, True))
                stack.extend((inner, False) for inner in self.below(schema))
        return self.known[id(root)]

    def below(self, schema: dict[str, Any]) -> list[Schema]:
        inside = [inner for _, _, inner in subschemas(self.document.dialect, schema)]
        return inside + [inner for keyword, inner in in_place(self.document, schema) if keyword in REFERENCES]

    def way(self, schema: Schema) -> int:
        return self.known.get(id(schema), 1) if isinstance(schema, dict) else 1

    def count(self, schema: dict[str, Any]) -> int:
        unions: dict[str, int] = {}
        ways = 1
        for keyword, inner in in_place(self.document, schema):
            if keyword in {"anyOf", "oneOf"}:
                unions[keyword] = unions.get(keyword, 0) + self.way(inner)
            else:
                ways *= self.way(inner)
        for total in unions.values():
            ways *= total
        descents = [self.way(inner) for keyword, _, inner in subschemas(self.document.dialect, schema)
                    if keyword not in IN_PLACE and keyword not in {"$defs", "definitions"}]  # fmt: skip
        return min(ways * max(descents, default=1), ALTERNATIVES + 1)
