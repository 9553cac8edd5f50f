"""What a model is told about the constraint, in a form that fits its context window.

Constrained decoding cuts what the model would write; a model that knows the shape writes it by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from router_mcp.domain import Choices, Grammar, Regex
from router_mcp.structured.outline import Outline
from router_mcp.structured.prepared import Prepared, SchemaSubject
from router_mcp.structured.violations import shortened

CHARS_PER_TOKEN: Final = 3
"""Fewer than tokenizers need for JSON, so that what is counted to fit does."""

_DECORATION: Final = frozenset({
    "$schema", "$id", "id", "$comment", "title", "examples", "example", "default", "deprecated", "readOnly",
    "writeOnly",
})  # fmt: skip
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_VALUES: Final = frozenset({"enum", "const"})
_ONLY_JSON: Final = "Answer with one JSON value and nothing else: no explanation, no code fence."


def instructions(prepared: Prepared, max_tokens: int) -> str:
    """The words to add to the system prompt, in about `max_tokens` at most; properties keep the schema's order."""
    room = max(0, max_tokens) * CHARS_PER_TOKEN
    if isinstance(prepared.subject, SchemaSubject):
        return _schema(prepared.subject.document.text, room)
    return _text(prepared, room)


def _schema(text: str, room: int) -> str:
    schema = json.loads(text)
    for spelling in _spellings(text, schema):
        said = f"{_ONLY_JSON} It must be valid against this JSON Schema:\n{spelling}"
        if len(said) <= room:
            return said
    outline = "".join(_until(room, Outline(schema).parts(schema, 0)))
    return _fitting(f"{_ONLY_JSON} Its shape: {outline}", room)


def _until(room: int, parts: Iterator[str]) -> Iterator[str]:
    """Parts until they fill the room; without this a schema with many references would be written out for ever."""
    for part in parts:
        yield part
        room -= len(part)
        if room < 0:
            return


def _spellings(text: str, schema: dict[str, Any]) -> Iterator[str]:
    """The schema whole, then without decoration, then without descriptions."""
    yield text
    for dropped in (_DECORATION, _DECORATION | {"description"}):
        yield json.dumps(_without(schema, dropped), ensure_ascii=False, separators=(",", ":"))


def _without(schema: Any, dropped: frozenset[str]) -> Any:
    if isinstance(schema, list):
        return [_without(inner, dropped) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        keyword: value
        if keyword in _VALUES
        else {name: _without(inner, dropped) for name, inner in value.items()}
        if keyword in _NAMED and isinstance(value, dict)
        else _without(value, dropped)
        for keyword, value in schema.items()
        if keyword not in dropped
    }


def _text(prepared: Prepared, room: int) -> str:
    constraint = prepared.constraint
    if isinstance(constraint, Choices):
        said = "Answer with exactly one of these, and nothing else:\n" + "\n".join(constraint.options)
    elif isinstance(constraint, Regex):
        said = f"Answer with a text that this regular expression matches whole, and nothing else:\n{constraint.pattern}"
    else:
        assert isinstance(constraint, Grammar)
        said = f"Answer with a sentence of this grammar, and nothing else:\n{constraint.text}"
    return _fitting(said, room)


def _fitting(said: str, room: int) -> str:
    return said if len(said) <= room else shortened(said, room) if room > len(_ONLY_JSON) else ""
