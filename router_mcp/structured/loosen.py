"""Makes of a schema one that an engine reads, and that accepts everything the schema accepts.

Never tighter: what the engine cannot enforce is left out, and the answer is checked against the schema itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from router_mcp.structured import regex_emit
from router_mcp.structured.document import Schema
from router_mcp.structured.engines import LARGEST_INTEGER, Engine
from router_mcp.structured.enum_pattern import tree_of
from router_mcp.structured.normal import Normal, name_of
from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import Choice, Edge, Look, Node, PatternError, Repeat, Sequence, nullable
from router_mcp.structured.satisfiable import is_of, types_of, values_of, whole_bounds

_ROUNDS: Final = 8
"""Definitions that are impossible because of another are followed this far."""
_LISTS: Final = ("allOf", "anyOf", "prefixItems")
_HIGHEST: Final = ("maxLength", "maxItems", "maxProperties")
_LOWEST: Final = ("minLength", "minItems", "minProperties")
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def loosened(normal: Normal, engine: Engine) -> Normal:
    """The schema and its definitions, as far as `engine` can enforce them."""
    work = _Loosener(engine)
    for _ in range(_ROUNDS):
        defs = {name: work.schema(schema) for name, schema in normal.defs.items()}
        impossible = {name for name, schema in defs.items() if schema is False}
        if impossible == work.impossible:
            break
        work.impossible = impossible
    return Normal(work.schema(normal.root), defs)


class _Loosener:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.impossible: set[str] = set()
        """Definitions that nothing satisfies: llguidance refuses a schema with a reference to one."""

    def schema(self, schema: Schema) -> Schema:
        if isinstance(schema, bool):
            return schema
        if "$ref" in schema and name_of(schema) in self.impossible:
            return False
        made = _spoken(schema)
        for keyword in _LISTS:
            if keyword in made:
                made[keyword] = [self.schema(inner) for inner in made[keyword]]
        for keyword in ("properties", "patternProperties"):
            if keyword in made:
                made[keyword] = {name: self.schema(inner) for name, inner in made[keyword].items()}
        for keyword in ("items", "additionalProperties"):
            if keyword in made:
                made[keyword] = self.schema(made[keyword])
        self.numbers(made)
        self.counts(made)
        self.text(made)
        self.values(made)
        self.objects(made)
        if "prefixItems" in made and "prefixItems" not in self.engine.keywords:
            made.pop("items", None)  # it speaks of the items after those only
        return _simplified({keyword: value for keyword, value in made.items() if keyword in self.engine.keywords})

    def values(self, made: dict[str, Any]) -> None:
        """An enum keeps only values of the right type; a wide one of strings becomes a pattern."""
        values = values_of(made)
        if values is None:
            return
        fitting = [value for value in values if is_of(value, types_of(made))]
        made.pop("const", None)
        made["enum"] = fitting
        if len(fitting) > self.engine.widest_enum:
            del made["enum"]
            texts = [value for value in fitting if isinstance(value, str)]
            if len(texts) == len(fitting):
                made["type"] = "string"
                made.pop("pattern", None)
                with suppress(PatternError):
                    made["pattern"] = regex_emit.llama(tree_of(texts))

    def numbers(self, made: dict[str, Any]) -> None:
        """Integers get whole bounds; bounds that no engine reads are left out."""
        if made.get("type") == "integer" and not made.keys().isdisjoint(_NUMBERS):
            low, high = whole_bounds(made)
            for keyword in _NUMBERS:
                made.pop(keyword, None)
            made |= {"minimum": low, "maximum": high}
        for keyword in _NUMBERS:
            if keyword in made and not abs(made[keyword]) <= LARGEST_INTEGER:
                del made[keyword]

    def counts(self, made: dict[str, Any]) -> None:
        most = self.engine.largest_count
        for keyword in _HIGHEST:
            if made.get(keyword, 0) > most:
                del made[keyword]
        for keyword in _LOWEST:
            if made.get(keyword, 0) > most:
                made[keyword] = most

    def text(self, made: dict[str, Any]) -> None:
        if made.get("format") not in self.engine.formats:
            made.pop("format", None)
        if "pattern" in made:
            pattern = self.pattern(made.pop("pattern"))
            if pattern is not None:
                made["pattern"] = pattern

    def pattern(self, pattern: str) -> str | None:
        """The pattern as the engine reads it, `None` where it has no form or says nothing."""
        node = parse(pattern)
        try:
            if self.engine.patterns == "portable":
                node = _without_looks(node)
                return None if nullable(node) and not _anchored(node) else regex_emit.portable(node)
            whole = regex_emit.searched(_without_looks(node))
            if whole is None or (nullable(node) and not _anchored(node)) or _counts(whole) > self.engine.largest_count:
                return None
            return regex_emit.llama(whole)
        except PatternError:
            return None

    def objects(self, made: dict[str, Any]) -> None:
        declared, required = made.get("properties", {}), set(made.get("required", ()))
        if self.engine.closed and made.get("minProperties", 0) > len(declared):
            made.setdefault("additionalProperties", True)
        if "patternProperties" in made and "patternProperties" not in self.engine.keywords:
            others = [made.get("additionalProperties", True), *made.pop("patternProperties").values()]
            made["additionalProperties"] = _simplified({"anyOf": others}) or True
        if not required.issuperset(declared):  # llguidance counts properties only where none is optional
            made.pop("minProperties", None)
            made.pop("maxProperties", None)


def _spoken(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy in which what only has a looser form is said in that form."""
    made = dict(schema)
    if "oneOf" in made:
        options = made.pop("oneOf")
        if "anyOf" in made:
            made["allOf"] = [*made.get("allOf", ()), {"anyOf": options}]
        else:
            made["anyOf"] = options
    if "if" in made and "then" in made and "else" in made:
        either = {"anyOf": [{"allOf": [made["if"], made["then"]]}, made["else"]]}
        made["allOf"] = [*made.get("allOf", ()), either]
    if "contains" in made and made.get("minContains", 1) > 0:
        made["minItems"] = max(made.get("minItems", 0), made.get("minContains", 1))
    in_place = {"$ref", "allOf", "anyOf", "if", "dependentSchemas"}
    if made.get("unevaluatedProperties") is False and in_place.isdisjoint(made):
        made.setdefault("additionalProperties", False)
    if made.get("unevaluatedItems") is False and in_place.isdisjoint(made) and "contains" not in made:
        made.setdefault("items", False)
    if made.get("not") == {}:
        made["allOf"] = [*made.get("allOf", ()), False]
    return made


def _simplified(made: dict[str, Any]) -> Schema:
    """Alternatives that are impossible or empty of meaning are taken out."""
    if "anyOf" in made:
        options = [option for option in made["anyOf"] if option is not False]
        if not options:
            return False
        if any(option is True or option == {} for option in options):
            del made["anyOf"]
        else:
            made["anyOf"] = options
    if "allOf" in made:
        if False in made["allOf"]:
            return False
        parts = [part for part in made["allOf"] if part is not True and part != {}]
        if parts:
            made["allOf"] = parts
        else:
            del made["allOf"]
    return False if made.get("enum") == [] else made


def _without_looks(node: Node) -> Node:
    """The pattern without the lookaheads at its start: looser, and what engines can read."""
    if isinstance(node, Sequence):
        return Sequence(tuple(item for item in node.items if not isinstance(item, Look)))
    return Sequence(()) if isinstance(node, Look) else node


def _anchored(node: Node) -> bool:
    """Whether an edge makes even a pattern that may be empty say something."""
    match node:
        case Sequence(items) | Choice(items):
            return any(map(_anchored, items))
        case Repeat(inner, _, _):
            return _anchored(inner)
        case _:
            return isinstance(node, Edge)


def _counts(node: Node) -> int:
    match node:
        case Sequence(items) | Choice(items):
            return max(map(_counts, items), default=0)
        case Repeat(inner, low, high):
            return max(low, high or 0, _counts(inner))
        case _:
            return 0
