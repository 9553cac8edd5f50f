"""The atoms of a Lark grammar: strings, ranges, regular expressions and the terminals of its `common` library."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from router_mcp.structured.grammar_tree import GrammarError
from router_mcp.structured.regex_classes import ANY
from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import (
    LAST,
    Chars,
    Choice,
    Node,
    PatternError,
    Repeat,
    Sequence,
    complement,
    union,
)

_FLOAT: Final = r"[0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
COMMON: Final = {
    "DIGIT": r"[0-9]", "HEXDIGIT": r"[0-9a-fA-F]", "INT": r"[0-9]+", "SIGNED_INT": r"[+-]?[0-9]+",
    "DECIMAL": r"[0-9]+\.[0-9]*|\.[0-9]+", "FLOAT": _FLOAT, "SIGNED_FLOAT": rf"[+-]?({_FLOAT})",
    "NUMBER": rf"{_FLOAT}|[0-9]+", "SIGNED_NUMBER": rf"[+-]?({_FLOAT}|[0-9]+)",
    "ESCAPED_STRING": r'"([^"\\\n]|\\[^\n])*"', "LCASE_LETTER": r"[a-z]", "UCASE_LETTER": r"[A-Z]",
    "LETTER": r"[a-zA-Z]", "WORD": r"[a-zA-Z]+", "CNAME": r"[_a-zA-Z][_a-zA-Z0-9]*", "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+", "CR": r"\r", "LF": r"\n", "NEWLINE": r"(\r?\n)+",
}  # fmt: skip
_NOT_NEWLINE: Final = Chars(complement(((0x0A, 0x0A),)))
_ANYTHING: Final = Chars(complement(()))
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "b": "\b", "0": "\0"}
_PIECE: Final = re.compile(
    r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\u\{([0-9A-Fa-f]{1,6})\}|\\U([0-9A-Fa-f]{8})|\\(.)|([^\\])", re.DOTALL
)


def literal(word: str) -> Node:
    """A string in quotes, with `i` behind it when case does not matter."""
    body = word.removesuffix("i") if word.endswith('"i') else word
    chars = [Chars(((point, point),)) for point in _points(body[1:-1])]
    node = Sequence(tuple(chars))
    return _caseless(node) if word.endswith('"i') else node


def span(word: str) -> Node:
    """A range of characters, `"a".."z"`."""
    ends = [_points(end) for end in re.findall(r'"((?:[^"\\\n]|\\.)*)"', word)]
    if any(len(end) != 1 for end in ends) or ends[0] > ends[1]:
        raise GrammarError("has a range whose ends are not two characters in order")
    return Chars(((ends[0][0], ends[1][0]),))


def pattern(word: str) -> Node:
    """A regular expression between slashes, with its flags behind."""
    body, _, flags = word[1:].rpartition("/")
    if set(flags) - set("isu"):
        raise GrammarError(f"uses the regular expression flags {flags[:8]!r}")
    try:
        node = parse(body)
    except PatternError as wrong:
        raise GrammarError(f"has a regular expression that {wrong}") from wrong
    node = _with_dot(node, _ANYTHING if "s" in flags else _NOT_NEWLINE)
    return _caseless(node) if "i" in flags else node


def _points(body: str) -> list[int]:
    points: list[int] = []
    for two, four, braced, eight, escaped, plain in _PIECE.findall(body):
        digits = two or four or braced or eight
        points.append(int(digits, 16) if digits else ord(_ESCAPES.get(escaped, escaped) or plain))
    if any(point > LAST for point in points):
        raise GrammarError("has an escape that is no character")
    return points


def _with_dot(node: Node, dot: Chars) -> Node:
    return dot if node == ANY else _mapped(node, lambda inner: _with_dot(inner, dot))


def _caseless(node: Node) -> Node:
    if not isinstance(node, Chars):
        return _mapped(node, _caseless)
    both = [(low, high) for low, high in node.ranges]
    for low, high in node.ranges:
        for first, last, shift in ((0x41, 0x5A, 32), (0x61, 0x7A, -32)):
            if max(low, first) <= min(high, last):
                both.append((max(low, first) + shift, min(high, last) + shift))
    return Chars(union(tuple(both)), node.properties, node.negated)


def _mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    match node:
        case Sequence(items):
            return Sequence(tuple(map(change, items)))
        case Choice(items):
            return Choice(tuple(map(change, items)))
        case Repeat(inner, low, high):
            return Repeat(change(inner), low, high)
        case _:
            return node
