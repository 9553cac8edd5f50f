"""Whether any value can satisfy a schema, where that is cheap to tell.

An engine that is given an empty language stalls or crashes (Ollama answers 500, `026o`). Only certain
contradictions are found; what is not found empty may still be. A schema that only an endless value would
satisfy is empty too, so inhabitants of references are found bottom-up until nothing more is found.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from router_mcp.errors import SchemaInvalidError
from router_mcp.structured.document import Schema
from router_mcp.structured.limits import LEAST_ITEMS, LEAST_LENGTH
from router_mcp.structured.normal import Normal, name_of

ALL_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ROUNDS: Final = 64
"""Rounds of looking for inhabitants; a chain of definitions longer than this counts as inhabited."""

_BOUNDS: Final = {
    "string": ("minLength", "maxLength", LEAST_LENGTH),
    "array": ("minItems", "maxItems", LEAST_ITEMS),
    "object": ("minProperties", "maxProperties", LEAST_ITEMS),
}


def refuse_empty(normal: Normal) -> None:
    """Raise `SchemaInvalidError`, naming the contradiction, when no value can satisfy the schema."""
    reason = _Search(normal).why_empty(normal.root)
    if reason:
        raise SchemaInvalidError(f"No value can satisfy the schema: {reason}. Correct it.")


class _Search:
    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.empty = set(normal.defs)
        """Definitions that nothing has been found in yet."""
        for _ in range(_ROUNDS):
            found = {name for name in self.empty if self.why_empty(normal.defs[name]) is None}
            if not found:
                return
            self.empty -= found
        self.empty = set()

    def place(self, schema: dict[str, Any]) -> str:
        return self.normal.pointers[id(schema)] or "/"

    def why_empty(self, schema: Schema) -> str | None:
        if isinstance(schema, bool):
            return None if schema else "a schema that it needs is false"
        if "$ref" in schema and name_of(schema) in self.empty:
            return f"the $ref at {self.place(schema)} leads to a schema that no finite value satisfies"
        return self.combined(schema) or self.by_type(schema)

    def combined(self, schema: dict[str, Any]) -> str | None:
        if schema.get("not", False) in (True, {}):
            return f"not at {self.place(schema)} forbids every value"
        for inner in schema.get("allOf", ()):
            if reason := self.why_empty(inner):
                return reason
        for keyword in ("anyOf", "oneOf"):
            reasons = [self.why_empty(inner) for inner in schema.get(keyword, ())]
            if reasons and all(reasons):
                return f"{keyword} at {self.place(schema)} has no alternative left ({reasons[0]})"
        return None

    def by_type(self, schema: dict[str, Any]) -> str | None:
        types = types_of(schema)
        for inner in schema.get("allOf", ()):
            types &= types_of(inner)
        if not types:
            return f"the types at {self.place(schema)} exclude one another"
        values = values_of(schema)
        if values is not None:
            fitting = any(is_of(value, types) for value in values)
            return None if fitting else f"no value of the enum or const at {self.place(schema)} has the right type"
        reasons = [self.of_type(kind, schema) for kind in sorted(types)]
        return reasons[0] if all(reasons) else None

    def of_type(self, kind: str, schema: dict[str, Any]) -> str | None:
        if kind in _BOUNDS:
            low, high, most = _BOUNDS[kind]
            least = schema.get(low, 0)
            if least > schema.get(high, math.inf):
                return f"{low} at {self.place(schema)} is above {high}"
            if least > most:
                return f"{low} at {self.place(schema)} asks for more than {most:,}, which no model writes"
        if kind in {"integer", "number"}:
            return f"the bounds at {self.place(schema)} leave no {kind}" if _no_number(kind, schema) else None
        if kind == "array":
            return self.no_array(schema)
        return self.no_object(schema) if kind == "object" else None

    def no_array(self, schema: dict[str, Any]) -> str | None:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        for index in range(min(schema.get("minItems", 0), len(first) + 1)):
            if reason := self.why_empty(first[index] if index < len(first) else rest):
                return f"an item that minItems at {self.place(schema)} asks for cannot be ({reason})"
        return None

    def no_object(self, schema: dict[str, Any]) -> str | None:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
        for name in required:
            shown, place = json.dumps(name[:60]), self.place(schema)
            if name in properties:
                if reason := self.why_empty(properties[name]):
                    return f"the property {shown} that {place} requires cannot be ({reason})"
            elif closed:
                return f"{place} requires {shown}, and its additionalProperties forbids it"
        if len(required) > schema.get("maxProperties", math.inf):
            return f"required at {self.place(schema)} has more names than maxProperties allows"
        if closed and schema.get("minProperties", 0) > len(properties):
            return f"minProperties at {self.place(schema)} is above the number of properties that may be"
        return None


def types_of(schema: Schema) -> frozenset[str]:
    """The types that `type` leaves open; `number` brings `integer` with it."""
    if isinstance(schema, bool) or "type" not in schema:
        return ALL_TYPES
    named = schema["type"]
    found = frozenset([named] if isinstance(named, str) else named)
    return found | {"integer"} if "number" in found else found


def values_of(schema: dict[str, Any]) -> list[Any] | None:
    """The values that `enum` or `const` lists; `None` without either."""
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return listed if isinstance(listed, list) else None


def is_of(value: Any, types: frozenset[str]) -> bool:
    """Whether a JSON value is of one of the types; 1.0 is an integer."""
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int | float):
        return "number" in types or ("integer" in types and value == math.floor(value))
    kinds = ((str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null") in types


def _no_number(kind: str, schema: dict[str, Any]) -> bool:
    low, low_open, high, high_open = number_bounds(schema)
    if kind == "number" or low == -math.inf or high == math.inf:
        return low > high or (low == high and (low_open or high_open))
    return whole_bounds(schema)[0] > whole_bounds(schema)[1]


def number_bounds(schema: dict[str, Any]) -> tuple[float, bool, float, bool]:
    """Least and largest number, each with whether it is itself excluded."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    return max(low, above), above >= low and above > -math.inf, min(high, below), below <= high and below < math.inf


def whole_bounds(schema: dict[str, Any]) -> tuple[float, float]:
    """Least and largest integer; infinite where there is no bound."""
    low, low_open, high, high_open = number_bounds(schema)
    if low > -math.inf:
        low = math.floor(low) + 1 if low_open else math.ceil(low)
    if high < math.inf:
        high = math.ceil(high) - 1 if high_open else math.floor(high)
    return low, high
