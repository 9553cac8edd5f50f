"""One schema that accepts at least what two accept together.

Exact for types, bounds, properties and items; where both ask for something that cannot be said once (two patterns,
two references), one of the two is kept. That makes the result looser, never tighter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_mcp.structured.document import Schema
from router_mcp.structured.equality import key
from router_mcp.structured.satisfiable import is_of, types_of, values_of

PRODUCT: Final = 64
"""Alternatives that may come of multiplying two `anyOf`."""

_HIGHER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LOWER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_KEPT: Final = ("pattern", "format", "multipleOf")
_ORDER: Final = ("object", "array", "string", "number", "integer", "boolean", "null")


def intersection(one: Schema, two: Schema) -> Schema:
    """What satisfies both; `False` when nothing can. Neither has `allOf` or `patternProperties`."""
    if one is False or two is False:
        return False
    if one in (True, {}):
        return two
    if two in (True, {}, one):
        return one
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    if "$ref" in one or "$ref" in two:
        return one if "$ref" in one else two
    if "anyOf" in one or "anyOf" in two:
        return _distributed(one, two)
    return _plain(one, two)


def _distributed(one: dict[str, Any], two: dict[str, Any]) -> Schema:
    ones, twos = _options(one), _options(two)
    if len(ones) * len(twos) > PRODUCT:
        return one if "anyOf" in one else two
    options: list[Schema] = []
    for first in ones:
        for second in twos:
            both = intersection(first, second)
            if both is not False and both not in options:
                options.append(both)
    if not options:
        return False
    return options[0] if len(options) == 1 else {"anyOf": options}


def _options(schema: dict[str, Any]) -> list[Schema]:
    """The alternatives, each with what stands beside `anyOf`."""
    if "anyOf" not in schema:
        return [schema]
    beside = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
    return [intersection(beside, option) for option in schema["anyOf"]]


def _plain(one: dict[str, Any], two: dict[str, Any]) -> Schema:
    made: dict[str, Any] = {}
    types = types_of(one) & types_of(two)
    if not types:
        return False
    if "type" in one or "type" in two:
        names = [name for name in _ORDER if name in types and not (name == "integer" and "number" in types)]
        made["type"] = names[0] if len(names) == 1 else names
    values = _values(one, two)
    if values is not None:
        made["enum"] = [value for value in values if is_of(value, types)]
        return made if made["enum"] else False
    _bounds(made, one, two, _HIGHER, max)
    _bounds(made, one, two, _LOWER, min)
    for keyword in _KEPT:
        if keyword in one or keyword in two:
            made[keyword] = one.get(keyword, two.get(keyword))
    _objects(made, one, two)
    _arrays(made, one, two)
    return made


def _values(one: dict[str, Any], two: dict[str, Any]) -> list[Any] | None:
    first, second = values_of(one), values_of(two)
    if first is None or second is None:
        return second if first is None else first
    allowed = set(map(key, second))
    return [value for value in first if key(value) in allowed]


def _bounds(
    made: dict[str, Any],
    one: dict[str, Any],
    two: dict[str, Any],
    keywords: tuple[str, ...],
    tighter: Callable[[Any, Any], Any],
) -> None:
    for keyword in keywords:
        if keyword in one and keyword in two:
            made[keyword] = tighter(one[keyword], two[keyword])
        elif keyword in one or keyword in two:
            made[keyword] = one.get(keyword, two.get(keyword))


def _objects(made: dict[str, Any], one: dict[str, Any], two: dict[str, Any]) -> None:
    names = dict.fromkeys([*one.get("properties", {}), *two.get("properties", {})])
    if names:
        made["properties"] = {name: intersection(_property(one, name), _property(two, name)) for name in names}
    required = list(dict.fromkeys([*one.get("required", ()), *two.get("required", ())]))
    if required:
        made["required"] = required
    if "additionalProperties" in one or "additionalProperties" in two:
        made["additionalProperties"] = intersection(
            one.get("additionalProperties", True), two.get("additionalProperties", True)
        )


def _property(schema: dict[str, Any], name: str) -> Schema:
    """What the schema asks of a property."""
    declared: Schema = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
    return declared


def _arrays(made: dict[str, Any], one: dict[str, Any], two: dict[str, Any]) -> None:
    first = max(len(one.get("prefixItems", ())), len(two.get("prefixItems", ())))
    if first:
        made["prefixItems"] = [intersection(_item(one, at), _item(two, at)) for at in range(first)]
    if "items" in one or "items" in two:
        made["items"] = intersection(one.get("items", True), two.get("items", True))


def _item(schema: dict[str, Any], at: int) -> Schema:
    prefix = schema.get("prefixItems", ())
    found: Schema = prefix[at] if at < len(prefix) else schema.get("items", True)
    return found
