"""A prepared constraint in the form that each kind of runtime takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema, Regex, RuntimeKind
from router_mcp.errors import UnsupportedConstraintError
from router_mcp.structured import regex_emit, strict_json
from router_mcp.structured.engines import LLAMA_CPP, OF_KIND, PLAIN, PLAIN_LLAMA_CPP, Engine
from router_mcp.structured.enum_pattern import tree_of
from router_mcp.structured.fitted import Room, fitted
from router_mcp.structured.grammar import CheckedGrammar
from router_mcp.structured.local_compile import compiles, compiles_grammar
from router_mcp.structured.loosen import loosened
from router_mcp.structured.merge import merged
from router_mcp.structured.normal import Normal
from router_mcp.structured.patterns import Pattern
from router_mcp.structured.prepared import Prepared, SchemaSubject
from router_mcp.structured.regex_syntax import Node, PatternError
from router_mcp.structured.spell import for_llama, for_llguidance

_LARK: Final = "%llguidance {}\n"
"""What makes llama.cpp hand a grammar to llguidance."""
_KEPT: Final = 32
"""Forms of one constraint that are remembered."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What to ask a runtime for, and how to read what it answers."""

    constraint: Constraint
    quoted: bool = False
    """The answer comes as a JSON string, though a text was asked for."""

    def unwrap(self, text: str) -> str:
        """The answer as the caller meant it; one that is not wrapped, of a runtime that ignored it, stays as it is."""
        if self.quoted:
            try:
                inner = strict_json.loads(text)
            except strict_json.NotJsonError:
                return text
            return inner if isinstance(inner, str) else text
        return text


def compile_for(kind: RuntimeKind, prepared: Prepared, *, plain: bool = False, room: Room | None = None) -> Compiled:
    """What a runtime of this kind is asked for.

    It accepts every answer that the constraint accepts, and often more: the answer is to be checked. `plain` asks
    for a schema in the few keywords that every engine has, for a runtime that refused the usual form. `room` asks for
    one whose answers come to an end within it, where that can be said; it accepts fewer answers then.
    Raises `UnsupportedConstraintError` when the runtime could not enforce any part of it.
    """
    known: Compiled | None = prepared.compiled.get((kind, plain, room))
    if known is None:
        if len(prepared.compiled) >= _KEPT:
            prepared.compiled.clear()
        known = prepared.compiled[kind, plain, room] = _compiled(kind, prepared, plain, room)
    return known


def _compiled(kind: RuntimeKind, prepared: Prepared, plain: bool, room: Room | None) -> Compiled:
    match prepared.subject:
        case SchemaSubject(_, normal, _):
            return Compiled(_schema(kind, normal, plain, room))
        case Choices(options):
            return _choices(kind, prepared.constraint, options)
        case Pattern(node):
            return _regex(kind, node)
        case CheckedGrammar():
            return _grammar(kind, prepared.constraint, prepared.subject)


def _schema(kind: RuntimeKind, normal: Normal, plain: bool, room: Room | None) -> Constraint:
    engine = OF_KIND[kind]
    if engine is LLAMA_CPP:
        close = _possible(merged(loosened(normal, PLAIN_LLAMA_CPP if plain else engine)))
        return JsonSchema(for_llama((room and fitted(close, engine, room)) or close))
    for schema in _forms(normal, engine, plain, room):
        if compiles(schema):
            return JsonSchema(schema) if kind == "vllm" else Grammar(f"{_LARK}start: %json {json.dumps(schema)}")
    raise UnsupportedConstraintError(
        "The runtime's decoder cannot compile this schema. Use a smaller schema, or a model on another runtime."
    )


def _forms(normal: Normal, engine: Engine, plain: bool, room: Room | None) -> Iterator[dict[str, Any]]:
    """From the closest to the plainest."""
    if not plain:
        close = _possible(loosened(normal, engine))
        small = fitted(_possible(merged(close)), engine, room) if room else None
        if small is not None:
            yield for_llguidance(small, closed=True)
        if not engine.closed:
            yield for_llguidance(close)
        yield for_llguidance(_possible(merged(close)), closed=engine.closed)
    yield for_llguidance(_possible(merged(loosened(normal, PLAIN))), closed=engine.closed)


def _possible(normal: Normal) -> Normal:
    if normal.root is False:
        raise UnsupportedConstraintError("No value can satisfy the schema. Correct it.")
    return normal


def _choices(kind: RuntimeKind, constraint: Constraint, options: tuple[str, ...]) -> Compiled:
    if kind != "ollama":
        return Compiled(constraint)
    if len(options) <= LLAMA_CPP.widest_enum:
        return Compiled(JsonSchema({"type": "string", "enum": list(options)}), quoted=True)
    try:
        return _quoted(tree_of(list(options)))
    except PatternError as unsaid:
        raise UnsupportedConstraintError(
            f"Ollama cannot enforce these choices: their list {unsaid}. Give fewer, or use a model on another runtime."
        ) from unsaid


def _regex(kind: RuntimeKind, node: Node) -> Compiled:
    whole = regex_emit.whole(node)
    if whole is None:
        raise _unsaid("it has anchors or lookaheads inside")
    if kind == "ollama":
        return _quoted(whole)
    try:
        pattern = regex_emit.portable(whole)
    except PatternError as unsaid:
        raise _unsaid(f"it {unsaid}") from unsaid
    if kind == "vllm":
        return Compiled(Regex(pattern))
    return Compiled(Grammar(f"{_LARK}start: /{pattern}/"))


def _quoted(node: Node) -> Compiled:
    try:
        return Compiled(JsonSchema({"type": "string", "pattern": regex_emit.llama(node)}), quoted=True)
    except PatternError as unsaid:
        raise _unsaid(f"it {unsaid}") from unsaid


def _unsaid(why: str) -> UnsupportedConstraintError:
    return UnsupportedConstraintError(
        f"The runtime cannot enforce the regex: {why}. Use a simpler one, or a model on another runtime."
    )


def _grammar(kind: RuntimeKind, constraint: Constraint, grammar: CheckedGrammar) -> Compiled:
    assert isinstance(constraint, Grammar)
    if kind == "ollama":
        raise UnsupportedConstraintError(
            "Ollama has no grammars. Say it as a JSON schema, a regex or choices, or use a model on another runtime."
        )
    native = kind == "embedded" and grammar.notation == "gbnf"
    if native and grammar.language.is_left_recursive():
        raise UnsupportedConstraintError(
            "llama.cpp takes no left-recursive grammar. Let no rule begin with itself, or repeat with * instead."
        )
    if not native and not compiles_grammar(constraint.text):
        raise UnsupportedConstraintError("The runtime's decoder cannot compile this grammar. Use a simpler one.")
    marked = kind == "vllm" or native or constraint.text.startswith("%llguidance")
    return Compiled(constraint if marked else Grammar(_LARK + constraint.text))
