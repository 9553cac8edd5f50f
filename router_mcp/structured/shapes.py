"""Whether the value of a keyword has the shape that the dialect's meta-schema asks for.

The meta-schemas say the same, but validating 10,000 subschemas against them takes many seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_mcp.structured import dialect as d
from router_mcp.structured.dialect import Dialect

TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def wrong_shape(dialect: Dialect, keyword: str, value: Any) -> str | None:
    """What the value of `keyword` must be, when it is something else; the schemas inside it are not looked at.

    More lenient than the meta-schemas where it is harmless and real schemas are sloppy: an empty `required` in
    draft-04, a value twice in `enum`, annotations of any type.
    """
    shape = dialect.keywords[keyword]
    fits, words = _SHAPES[shape]
    if fits(value):
        return None
    if shape == d.SCHEMA and keyword == "items" and isinstance(value, list):
        return "one schema in 2020-12; use prefixItems for a tuple, or name an older dialect in $schema"
    if shape == d.NUMBER and isinstance(value, bool):
        return "a number; true and false belong to draft-04, which $schema would have to name"
    return words


def booleans_are_schemas(dialect: Dialect, keyword: str) -> bool:
    """Whether `true` and `false` may stand where `keyword` takes a schema; in draft-04 only in two places."""
    return dialect.year >= 2017 or keyword in {"additionalProperties", "additionalItems"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return _are_names(value) and bool(value) and TYPES.issuperset(value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


_SHAPES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    d.SCHEMA: (_is_schema, "a schema (an object, true or false)"),
    d.SCHEMAS: (_are_schemas, "a list of at least one schema"),
    d.MAP: (_is_map, "an object whose values are schemas"),
    d.PATTERN_MAP: (_is_map, "an object whose values are schemas"),
    d.ITEMS: (lambda value: _is_schema(value) or value == [] or _are_schemas(value), "a schema or a list of schemas"),
    d.DEPENDENCIES: (
        lambda value: isinstance(value, dict) and all(_is_schema(v) or _are_names(v) for v in value.values()),
        "an object whose values are schemas or lists of names",
    ),
    d.COUNT: (_is_count, "a whole number of 0 or more"),
    d.NUMBER: (_is_number, "a number"),
    d.POSITIVE: (lambda value: _is_number(value) and value > 0, "a number above 0"),
    d.BOOLEAN: (lambda value: isinstance(value, bool), "true or false"),
    d.STRING: (lambda value: isinstance(value, str), "a string"),
    d.PATTERN: (lambda value: isinstance(value, str), "a string"),
    d.TYPE: (_is_type, "one or a list of array, boolean, integer, null, number, object and string"),
    d.ENUM: (lambda value: isinstance(value, list), "a list"),
    d.NAMES: (_are_names, "a list of different strings"),
    d.NAMES_MAP: (
        lambda value: isinstance(value, dict) and all(map(_are_names, value.values())),
        "an object whose values are lists of different strings",
    ),
}
