"""What llama.cpp is sent. Facts are from its server as xllamacpp 2026.10 ships it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema
from router_mcp.errors import UnsupportedConstraintError

if TYPE_CHECKING:
    from router_mcp.domain import Call

_ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', **{code: f"\\x{code:02X}" for code in (*range(1, 0x20), 0x7F)}}


def request_body(call: Call) -> dict[str, Any]:
    """Return the chat request of a call; raise `UnsupportedConstraintError` for what llama.cpp does not have.

    `max_tokens` always goes along, because without it the model writes until its context is full; `stop` never
    goes with a constraint, because it cuts the answer and calls that a good end.
    """
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        "max_tokens": call.max_output_tokens,
        "temperature": call.temperature,
        "cache_prompt": True,
    }
    if call.seed is not None:
        body["seed"] = call.seed
    if call.constraint is not None:
        body |= _constraint(call, call.constraint)
    elif call.stop:
        body["stop"] = list(call.stop)
    return body


def _constraint(call: Call, constraint: Constraint) -> dict[str, Any]:
    match constraint:
        case JsonSchema(schema):
            return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
        case Choices(options) if options and not any("\0" in option for option in options):
            return {"grammar": choices_grammar(options)}
        case Grammar(text):
            return {"grammar": text}
    raise UnsupportedConstraintError(
        f"{call.endpoint} cannot enforce this {type(constraint).__name__.lower()} constraint. "
        "Say it as a JSON Schema or a GBNF grammar, or use another model."
    )


def choices_grammar(options: Iterable[str]) -> str:
    """Return a GBNF grammar of exactly these strings, as a tree of what they begin with.

    llama.cpp compares every token of its vocabulary with every alternative that is still open. As a flat list
    10,000 choices keep it from answering anything for more than ten seconds; as a tree they take one.
    """
    rules: list[str] = []
    names = {0: "root"}
    open_rules = [(0, sorted(set(options)))]
    while open_rules:
        number, texts = open_rules.pop()
        alternatives = []
        for _, group in groupby(texts, key=lambda text: text[:1]):
            alike = list(group)
            begin = _common(alike[0], alike[-1])
            if len(alike) == 1:
                alternatives.append(_literal(begin))
                continue
            child = len(names)
            names[child] = f"n{child}"
            open_rules.append((child, [text[len(begin) :] for text in alike]))
            alternatives.append(f"{_literal(begin)} {names[child]}")
        rules.append(f"{names[number]} ::= {' | '.join(alternatives)}")
    return "\n".join(rules)


def _common(first: str, last: str) -> str:
    """Return what both begin with; of sorted texts, so do all between them."""
    differs = (index for index, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]


def _literal(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
