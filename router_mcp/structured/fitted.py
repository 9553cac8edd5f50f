"""A schema whose every answer has an end: what fits into so many characters, for a model that does not stop by itself.

Weak models fill whatever nothing bounds (a text, a list, a number's digits, a tree) until they are cut, and a cut
answer is worth nothing. So the room is divided among the parts: what is required comes first, what is optional as
long as there is room for all of it. Tighter than the schema, never looser; what it accepts may still break parts of
the schema that no engine enforces, so it is checked like everything else.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from router_mcp.structured.document import Schema
from router_mcp.structured.engines import Engine
from router_mcp.structured.normal import Normal, name_of
from router_mcp.structured.satisfiable import number_bounds, types_of, values_of
from router_mcp.structured.sizes import Sizes, declared, shortest_text, written

LONGEST: Final = 20_000
"""Where even the shortest answer has more characters, nothing is fitted: no model writes it."""
_MADE: Final = 2_000
"""Schemas that are made; beyond, each is made as small as it goes."""
_OPTIONS: Final = 8
_SPAN: Final = 1_000_000
"""How far a number may be from the only bound it has."""
_NAME: Final = r"^[A-Za-z0-9_.-]{1,24}$"
"""Names in a map that takes any."""
_TEXT: Final = ("pattern", "format", "minLength", "maxLength")
_ORDER: Final = ("object", "array", "string", "number", "integer", "boolean", "null")

_SUGGESTS: Final = (
    ("object", ("properties", "required", "additionalProperties", "patternProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)
"""What a schema that names no type most likely means."""


class Room(NamedTuple):
    """How large an answer may become."""

    chars: int
    """Characters of compact JSON, about."""
    names: int
    """Properties of an object that takes any name; weak models write the same one twice."""
    text: int
    """Characters of one text."""


def fitted(normal: Normal, engine: Engine, room: Room) -> Normal | None:
    """The merged schema, tightened so that no answer needs much more than the room; `None` when none would fit."""
    sizes = Sizes(normal)
    if sizes.least(normal.root) > LONGEST:
        return None
    return Normal(_Fitter(normal, engine, sizes, room).schema(normal.root, room.chars))


class _Fitter:
    def __init__(self, normal: Normal, engine: Engine, sizes: Sizes, room: Room) -> None:
        self.defs = normal.defs
        self.engine = engine
        self.sizes = sizes
        self.most = room
        self.made = 0

    def schema(self, schema: Schema, room: float) -> Schema:
        """The same in so much room, or in the least that it needs. References are followed: each step has less room."""
        self.made += 1
        if self.made > _MADE:
            room = 0
        if isinstance(schema, bool):
            return self.typed({}, room) if schema else False
        if "$ref" in schema:
            return self.schema(self.defs[name_of(schema)], room)
        if "anyOf" in schema:
            options = self.possible(schema["anyOf"], room)
            made = [self.schema(option, room) for option in options]
            return made[0] if len(made) == 1 else {"anyOf": made}
        values = values_of(schema)
        if values is not None:
            fitting = [value for value in values if len(written(value)) <= room]
            return {"enum": fitting or [min(values, key=lambda value: len(written(value)))]}
        return self.typed(schema, room)

    def possible(self, options: list[Schema], room: float) -> list[Schema]:
        """The alternatives that fit; the smallest when none does."""
        fitting = [option for option in options if self.sizes.least(option) <= room]
        return fitting[:_OPTIONS] or [min(options, key=self.sizes.least)]

    def typed(self, schema: dict[str, Any], room: float) -> dict[str, Any]:
        kinds = _kinds(schema)
        small = [kind for kind in kinds if self.sizes.least_of(kind, schema) <= room]
        kinds = small or [min(kinds, key=lambda kind: self.sizes.least_of(kind, schema))]
        made: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
        for kind in kinds:
            match kind:
                case "object":
                    made |= self.object(schema, room)
                case "array":
                    made |= self.array(schema, room)
                case "string":
                    made |= self.text(schema, room)
                case "integer" | "number":
                    made |= _number(kind, schema)
        return made

    def object(self, schema: dict[str, Any], room: float) -> dict[str, Any]:
        names = self.names(schema, room)
        if not names:
            return {"additionalProperties": False} if schema.get("properties") else self.map(schema, room)
        sizes = self.sizes
        least = {name: sizes.member(schema, name) for name in names}
        want = {name: max(0.0, sizes.comfort(declared(schema, name)) - sizes.least(declared(schema, name))) + 1
                for name in names}  # fmt: skip
        spare = max(0.0, room - 2 - sum(least.values())) / sum(want.values())
        properties = {
            name: self.schema(declared(schema, name), sizes.least(declared(schema, name)) + spare * want[name])
            for name in names
        }
        required = [name for name in schema.get("required", ()) if name in properties]
        made: dict[str, Any] = {"properties": properties, "additionalProperties": False}
        return made | ({"required": required} if required else {})

    def names(self, schema: dict[str, Any], room: float) -> list[str]:
        """The properties that there is room for, as the schema orders them; those required come in any case."""
        required = set(schema.get("required", ()))
        least = schema.get("minProperties", 0)
        left = room - 2 - sum(self.wanted(schema, name) for name in required)
        taken = set(required)
        for name in schema.get("properties", ()):
            size = self.wanted(schema, name)
            if name not in taken and size < math.inf and (size <= left or len(taken) < least):
                taken.add(name)
                left -= size
        order = dict.fromkeys([*schema.get("properties", ()), *schema.get("required", ())])
        if not taken:  # something is better than nothing
            taken.update([name for name in order if self.sizes.member(schema, name) <= left / 2][:1])
        return [name for name in order if name in taken]

    def wanted(self, schema: dict[str, Any], name: str) -> float:
        inner = declared(schema, name)
        if self.sizes.least(inner) == math.inf:
            return math.inf
        return len(written(name)) + 2 + self.sizes.comfort(inner)

    def map(self, schema: dict[str, Any], room: float) -> dict[str, Any]:
        """An object of names that the schema does not know."""
        rest, patterns = schema.get("additionalProperties", True), dict(schema.get("patternProperties", {}))
        least = schema.get("minProperties", 0)
        size = max(map(self.sizes.comfort, (*patterns.values(), rest)), default=0) + 30
        count = int(max(least, min(schema.get("maxProperties", math.inf), self.most.names, room // size)))
        if count == 0 or (rest is False and not patterns):
            return {"additionalProperties": False}
        share = room / count
        if "patternProperties" not in self.engine.keywords:
            return {"additionalProperties": self.schema(rest, share)}
        if rest is not False and not patterns:
            patterns = {_NAME: rest}
        made = {name: self.schema(inner, share) for name, inner in patterns.items()}
        return {
            "patternProperties": made,
            "additionalProperties": False,
            "minProperties": least,
            "maxProperties": count,
        }

    def array(self, schema: dict[str, Any], room: float) -> dict[str, Any]:
        first, rest, least = schema.get("prefixItems", []), schema.get("items", True), schema.get("minItems", 0)
        most = min(schema.get("maxItems", math.inf), math.inf if rest is not False else len(first))
        size = max(map(self.sizes.comfort, (*first, rest)), default=0) + 1
        if least == 0 and self.sizes.least(first[0] if first else rest) == math.inf:
            most = 0
        count = int(max(least, min(most, (room - 2) // size)))
        share = (room - 2) / count - 1 if count else 0
        made: dict[str, Any] = {"minItems": least, "maxItems": count}
        if first and count:
            made["prefixItems"] = [self.schema(inner, share) for inner in first[:count]]
        return made | {"items": self.schema(rest, share) if count > len(first) else False}

    def text(self, schema: dict[str, Any], room: float) -> dict[str, Any]:
        made: dict[str, Any] = {key: schema[key] for key in _TEXT if key in schema}
        shortest = shortest_text(schema)
        slack = 2 * shortest + 8 if "pattern" in made or "format" in made else shortest
        most = int(max(slack, min(room - 2, self.most.text), 1))
        made["maxLength"] = min(made.get("maxLength", most), most, max(shortest, self.engine.largest_count))
        return made


def _kinds(schema: dict[str, Any]) -> list[str]:
    if "type" in schema:
        types = types_of(schema)
        return [kind for kind in _ORDER if kind in types and not (kind == "integer" and "number" in types)]
    for kind, keywords in _SUGGESTS:
        if not schema.keys().isdisjoint(keywords):
            return [kind]
    return ["string", "number", "boolean", "null"]


def _number(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A number with a first and a last digit."""
    keys = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    made = {key: schema[key] for key in keys if key in schema}
    low, _, high, _ = number_bounds(schema)
    span = max(_SPAN, 2 * made.get("multipleOf", 0))
    if low == -math.inf:
        made["minimum"] = min(-span, high - span) if high < math.inf else -span
    if high == math.inf:
        made["maximum"] = max(span, low + span) if low > -math.inf else span
    if kind == "number" and "multipleOf" not in made and not high - low < 1:
        made["multipleOf"] = 0.01
    return made
