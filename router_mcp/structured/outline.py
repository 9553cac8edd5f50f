"""A schema in a line, for a context window too small for the schema: `{"name": string, "tags"?: [string]}`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from router_mcp.structured.violations import shortened

_DEEPEST: Final = 8
_ALTERNATIVES: Final = 6
_VALUES: Final = 12


class Outline:
    """Writes outlines of the parts of one schema, piece by piece, so that the reader can stop."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def parts(self, schema: Any, depth: int) -> Iterator[str]:
        """The pieces, in the schema's own order."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            yield "any"
        elif "$ref" in schema:
            yield from self.parts(self._local(str(schema["$ref"])), depth + 1)
        elif "enum" in schema or "const" in schema:
            values = schema["enum"] if "enum" in schema else [schema["const"]]
            yield "|".join(map(_quote, values[:_VALUES]))
        elif isinstance(schema.get("properties"), dict):
            yield from self._object(schema, depth)
        elif isinstance(schema.get("items"), dict):
            yield from self._within("[", (self.parts(schema["items"], depth + 1),), ", ", "]")
        elif "anyOf" in schema or "oneOf" in schema:
            options = schema["anyOf" if "anyOf" in schema else "oneOf"][:_ALTERNATIVES]
            yield from self._within("", (self.parts(option, depth + 1) for option in options), " | ", "")
        else:
            kind = schema.get("type", "any")
            yield kind if isinstance(kind, str) else "|".join(kind)

    def _object(self, schema: dict[str, Any], depth: int) -> Iterator[str]:
        required = schema.get("required", [])
        fields = (
            self._within(f"{_quote(name)}{'' if name in required else '?'}: ", (self.parts(inner, depth + 1),), "", "")
            for name, inner in schema["properties"].items()
        )
        yield from self._within("{", fields, ", ", "}")

    @staticmethod
    def _within(before: str, pieces: Iterable[Iterator[str]], between: str, after: str) -> Iterator[str]:
        yield before
        for at, piece in enumerate(pieces):
            if at:
                yield between
            yield from piece
        yield after

    def _local(self, ref: str) -> Any:
        found: Any = self._root
        for step in ref.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _quote(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 60)
