"""How long the answers that a schema accepts are, in characters of compact JSON: the shortest, and a comfortable one.

Estimates, for dividing a limit among the parts of an answer; nothing is refused because of them.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, Final

from router_mcp.structured.document import Schema
from router_mcp.structured.normal import Normal, name_of
from router_mcp.structured.patterns import compile_search
from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import Chars, Choice, Node, PatternError, Repeat, Sequence
from router_mcp.structured.satisfiable import number_bounds, types_of, values_of

SENTENCE: Final = 60
"""Characters of a text that nothing bounds, when there is room."""
_ITEMS: Final = 3
"""Items of a list that nothing bounds, when there is room."""
_DEEP: Final = 6
_ROUNDS: Final = 32
_FORMATS: Final = {"date-time": 22, "time": 11, "date": 12, "uuid": 38, "ipv4": 13, "ipv6": 13, "uri": 14, "email": 9}


class Sizes:
    """The sizes of one merged schema and its parts."""

    def __init__(self, normal: Normal) -> None:
        self._defs = normal.defs
        self._least: dict[str, float] = dict.fromkeys(normal.defs, math.inf)
        self._comfort: dict[tuple[int, int], float] = {}
        for _ in range(_ROUNDS):
            found = {name: self.least(schema) for name, schema in normal.defs.items()}
            if found == self._least:
                break
            self._least = found

    def least(self, schema: Schema) -> float:
        """The characters of about the shortest answer; infinite when there is none."""
        if isinstance(schema, bool):
            return 4 if schema else math.inf
        if "$ref" in schema:
            return self._least[name_of(schema)]
        if "anyOf" in schema:
            return min(map(self.least, schema["anyOf"]), default=math.inf)
        values = values_of(schema)
        if values is not None:
            return min((len(written(value)) for value in values), default=math.inf)
        return min(self.least_of(kind, schema) for kind in types_of(schema))

    def least_of(self, kind: str, schema: dict[str, Any]) -> float:
        """The same for the values of one type."""
        match kind:
            case "object":
                return 2 + sum(self.member(schema, name) for name in schema.get("required", ()))
            case "array":
                first, count = schema.get("prefixItems", ()), schema.get("minItems", 0)
                items = [self.least(inner) + 1 for inner in first[:count]]
                more = count - len(items)
                rest = more * (self.least(schema.get("items", True)) + 1) if more > 0 else 0.0
                return 2.0 + sum(items) + rest
            case "string":
                return 2 + shortest_text(schema)
            case "integer" | "number":
                low, _, high, _ = number_bounds(schema)
                nearest = max(low, -high, 0)
                return len(str(int(nearest))) if nearest < math.inf else math.inf
        return 4

    def member(self, schema: dict[str, Any], name: str) -> float:
        """The least characters of one property, with its name."""
        return len(written(name)) + 2 + self.least(declared(schema, name))

    def comfort(self, schema: Schema, depth: int = _DEEP) -> float:
        """The characters of an answer that leaves nothing out and is brief everywhere."""
        if isinstance(schema, bool) or depth == 0:
            return min(self.least(schema), SENTENCE)
        key = (id(schema), depth)
        if key not in self._comfort:
            self._comfort[key] = max(self._comfortable(schema, depth), min(self.least(schema), 1e9))
        return self._comfort[key]

    def _comfortable(self, schema: dict[str, Any], depth: int) -> float:
        if "$ref" in schema:
            return self.comfort(self._defs[name_of(schema)], depth - 1)
        if "anyOf" in schema:
            return max((self.comfort(option, depth - 1) for option in schema["anyOf"]), default=0)
        values = values_of(schema)
        if values is not None:
            return max((len(written(value)) for value in values), default=0)
        return max(self._comfort_of(kind, schema, depth) for kind in types_of(schema))

    def _comfort_of(self, kind: str, schema: dict[str, Any], depth: int) -> float:
        match kind:
            case "object":
                names = dict.fromkeys([*schema.get("properties", ()), *schema.get("required", ())])
                return 2 + sum(
                    len(written(name)) + 2 + self.comfort(declared(schema, name), depth - 1) for name in names
                )
            case "array":
                count: int = max(schema.get("minItems", 0), min(schema.get("maxItems", _ITEMS), _ITEMS))
                return 2 + count * (1 + self.comfort(schema.get("items", True), depth - 1))
            case "string":
                return 2.0 + max(shortest_text(schema), min(int(schema.get("maxLength", SENTENCE)), SENTENCE))
        return 8


def written(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def declared(schema: dict[str, Any], name: str) -> Schema:
    """What the schema asks of a property by its name."""
    known = schema.get("properties", {})
    if name in known:
        return known[name]  # type: ignore[no-any-return] # JSON
    for pattern, inner in schema.get("patternProperties", {}).items():
        with suppress(PatternError):
            if compile_search(pattern).matches(name):
                return inner  # type: ignore[no-any-return] # JSON
    return schema.get("additionalProperties", True)  # type: ignore[no-any-return] # JSON


def shortest_text(schema: dict[str, Any]) -> int:
    """The characters of the shortest text that a schema takes, without its quotes."""
    least: int = max(schema.get("minLength", 0), _FORMATS.get(schema.get("format", ""), 2) - 2)
    if "pattern" in schema:
        try:
            least = max(least, shortest(parse(schema["pattern"])))
        except PatternError:
            least = max(least, SENTENCE)
    return least


def shortest(node: Node) -> int:
    """The characters of the shortest text that a regular expression takes."""
    match node:
        case Chars():
            return 1
        case Sequence(items):
            return sum(map(shortest, items))
        case Choice(options):
            return min(map(shortest, options), default=0)
        case Repeat(inner, low, _):
            return low * shortest(inner)
        case _:
            return 0
