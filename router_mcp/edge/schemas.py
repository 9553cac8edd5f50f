"""Pure: JSON Schemas that every MCP client accepts, made from the ones that pydantic writes.

Gemini refuses `$defs` and `$ref`; one tool with a top-level combinator poisons a whole session in Claude,
Vertex and Azure; `anyOf … null` hides a parameter from some models (mcp-sdk.md 1.4). So: everything
inline, no null alternatives, no null defaults, no titles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_DEFS = "#/$defs/"
_COMBINATORS = ("anyOf", "oneOf", "allOf", "not")
_NAMED = ("properties", "patternProperties")
"""Keywords under which a key is a name that somebody chose, not a keyword."""


def flat(schema: Schema) -> Schema:
    """Return the same schema with references inlined, and without titles, null alternatives and null defaults.

    Raises `ValueError` for a schema that refers to itself: it has no flat form.
    """
    out = _walk(schema, schema.get("$defs", {}), ())
    assert isinstance(out, dict)
    return out


def _walk(node: Any, defs: Schema, inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_walk(item, defs, inside) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFS):
        name = reference.removeprefix(_DEFS)
        if name in inside:
            raise ValueError(f"{name} refers to itself, so its schema cannot be flat")
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _walk({**defs[name], **siblings}, defs, (*inside, name))
    return _without_null({key: _member(key, value, defs, inside) for key, value in node.items() if _kept(key, value)})


def _member(key: str, value: Any, defs: Schema, inside: tuple[str, ...]) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: _walk(child, defs, inside) for name, child in value.items()}
    return value if key in {"default", "enum", "const", "examples"} else _walk(value, defs, inside)


def _kept(key: str, value: Any) -> bool:
    if key == "default":
        return value is not None
    return key not in {"$defs", "title"}


def _without_null(node: Schema) -> Schema:
    """Turn `T or null` into `T`, keeping what stands beside it (its description, say)."""
    options = node.get("anyOf")
    if not isinstance(options, list):
        return node
    real = [option for option in options if option != {"type": "null"}]
    if len(real) == len(options) or len(real) != 1:
        return node
    return {**real[0], **{key: value for key, value in node.items() if key != "anyOf"}}


def flaws(schema: Schema, *, unions: bool) -> list[str]:
    """Name what a client may refuse in a tool's schema; empty when there is nothing.

    The root must be a plain object and no place may hold a reference; `unions` says whether a place below the
    root may be a choice of types, as a result's may and an argument's may not.
    """
    found = [] if schema.get("type") == "object" else ["the root is not an object"]
    found += [f"{keyword} at the root" for keyword in _COMBINATORS if keyword in schema]
    forbidden = ("$ref", "$defs") if unions else ("$ref", "$defs", *_COMBINATORS)
    found += [f"{path}: {keyword}" for path, node in places(schema) for keyword in forbidden if keyword in node]
    return found


def places(node: Any, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk every object within a schema, with a path to it that a person can read."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from places(item, f"{path}[{index}]")
    elif isinstance(node, dict):
        yield path or "(root)", node
        for key, child in node.items():
            yield from places(child, f"{path}.{key}" if path else key)
