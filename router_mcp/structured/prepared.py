"""Preflight: everything that can be wrong or dangerous about a constraint is found before a token is spent."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import SchemaInvalidError
from router_mcp.structured import document as documents
from router_mcp.structured import grammar
from router_mcp.structured.branching import refuse_explosive
from router_mcp.structured.document import Document, escape
from router_mcp.structured.grammar import CheckedGrammar
from router_mcp.structured.limits import ENUM_VALUES, PATTERN_STEPS_TOTAL, PATTERNS, SCHEMA_CHARS
from router_mcp.structured.normal import Normal, normalise
from router_mcp.structured.patterns import Pattern, compile_search, compile_whole
from router_mcp.structured.regex_syntax import PatternError
from router_mcp.structured.satisfiable import refuse_empty

Kind: TypeAlias = Literal["json_schema", "choices", "regex", "grammar"]


@dataclass(frozen=True, slots=True)
class SchemaSubject:
    """A schema, read and found sound."""

    document: Document
    normal: Normal
    patterns: Mapping[str, Pattern]


Subject: TypeAlias = SchemaSubject | Choices | Pattern | CheckedGrammar


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A constraint that passed preflight, with what checking answers against it needs."""

    constraint: Constraint
    """As the caller gave it; answers are always checked against this."""
    kind: Kind
    key: str
    """The same for the same constraint, in any process: name a constraint by it to quarantine it."""
    subject: Subject
    compiled: dict[object, Any] = field(default_factory=dict, repr=False)
    """What it was compiled to before, so that a schema in steady use is compiled once a runtime."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prepared) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Preparer:
    """Does the preflight of constraints, and remembers the last `size` that were sound."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._known: OrderedDict[str, Prepared] = OrderedDict()

    def prepare(self, constraint: Constraint) -> Prepared:
        """Find out whether the constraint can be asked for at all.

        Raises `SchemaInvalidError`, which names the place and the limit or keyword, for one that is malformed,
        that no answer satisfies, that refers to what would have to be fetched, or that could stall an engine.
        """
        kind, text = _text(constraint)
        key = hashlib.sha256(f"{kind}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Prepared(constraint, kind, key, _subject(constraint))
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known


def _text(constraint: Constraint) -> tuple[Kind, str]:
    match constraint:
        case JsonSchema(schema):
            if not isinstance(schema, dict):
                raise SchemaInvalidError("The schema is not a JSON object. Pass one.")
            return "json_schema", documents.compact(schema)
        case Choices(options):
            return "choices", "\0".join(options)
        case Regex(pattern):
            return "regex", pattern
        case Grammar(text):
            return "grammar", text


def _subject(constraint: Constraint) -> Subject:
    match constraint:
        case JsonSchema(schema):
            return _schema(documents.read(schema))
        case Choices():
            return _choices(constraint)
        case Regex(pattern):
            try:
                return compile_whole(pattern)
            except PatternError as wrong:
                raise SchemaInvalidError(f"The regex {wrong}. Correct it or use a simpler one.") from wrong
        case Grammar(text):
            return grammar.read(text)


def _schema(document: Document) -> SchemaSubject:
    for node in document.nodes:
        if isinstance(node.schema, dict) and len(node.schema.get("enum", ())) > ENUM_VALUES:
            raise SchemaInvalidError(
                f"The schema's {node.pointer}/enum has more than {ENUM_VALUES:,} values. Use fewer, or a pattern."
            )
    patterns = _patterns(document)
    refuse_explosive(document)
    normal = normalise(document)
    refuse_empty(normal)
    return SchemaSubject(document, normal, patterns)


def _patterns(document: Document) -> dict[str, Pattern]:
    """Every regular expression of the schema, compiled once."""
    found: dict[str, Pattern] = {}
    size = 0
    for node in document.nodes:
        if not isinstance(node.schema, dict):
            continue
        places = [(pattern, f"{node.pointer}/patternProperties/{escape(pattern)}")
                  for pattern in node.schema.get("patternProperties", ())]  # fmt: skip
        if "pattern" in node.schema:
            places.append((node.schema["pattern"], f"{node.pointer}/pattern"))
        for pattern, place in places:
            if pattern not in found:
                try:
                    found[pattern] = compile_search(pattern)
                except PatternError as wrong:
                    raise SchemaInvalidError(
                        f"The regular expression at {place[:200]} {wrong}. Correct it or use a simpler one."
                    ) from wrong
                size += found[pattern].size
                if len(found) > PATTERNS or size > PATTERN_STEPS_TOTAL:
                    raise SchemaInvalidError(
                        f"The schema's regular expressions, up to {place[:200]}, are more or larger than can be "
                        f"checked ({PATTERNS:,}, or {PATTERN_STEPS_TOTAL:,} characters written out). Use fewer."
                    )
    return found


def _choices(choices: Choices) -> Choices:
    options = choices.options
    if not options:
        raise SchemaInvalidError("There are no choices. Give at least one.")
    if len(options) > ENUM_VALUES or sum(map(len, options)) > SCHEMA_CHARS:
        raise SchemaInvalidError(f"There are more than {ENUM_VALUES:,} choices, or very long ones. Use fewer.")
    if not all(option.strip() for option in options):
        raise SchemaInvalidError("A choice is empty or only white space. Give each choice a text.")
    if len(set(options)) < len(options):
        raise SchemaInvalidError("A choice stands twice. Give each choice once.")
    try:
        "".join(options).encode()
    except UnicodeEncodeError as lone:
        raise SchemaInvalidError("A choice holds half a surrogate pair, which is no character. Correct it.") from lone
    return choices
