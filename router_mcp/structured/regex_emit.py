"""Writes a parsed pattern in the dialect that an engine reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router_mcp.structured.regex_syntax import (
    Chars,
    Choice,
    Edge,
    Look,
    Node,
    PatternError,
    Ranges,
    Repeat,
    Sequence,
    common,
    minus,
    nullable,
)

RE2_REPEAT: Final = 1_000
"""RE2 refuses a counted repetition, or nested ones whose product is, above this."""

_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ ")
_JSON_ESCAPES: Final = {0x22: '"', 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}
_UNNAMED: Final = Sequence(
    (
        *(Chars(((ord(char), ord(char)),)) for char in "\\u00"),
        Chars(((0x30, 0x31),)),
        Chars(((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))),
    )
)
"""Any control character as JSON writes it when it has no letter; looser than one of them."""
_NOT_RAW: Final[Ranges] = ((0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C))


def re2(node: Node) -> str:
    """RE2's syntax; raises `PatternError` on a lookahead, which RE2 does not have."""
    return _write(node, _re2_char, {"^": r"\A", "$": r"\z", "b": r"\b", "B": r"\B"}, RE2_REPEAT)[0]


def portable(node: Node) -> str:
    r"""Syntax that Rust's regex (llguidance) and ECMA-262 engines (xgrammar) read alike: no `\d`, no `\x`.

    Raises `PatternError` on lookaheads and word boundaries, which llguidance does not have.
    """
    return _write(node, _portable_char, {"^": "^", "$": "$"}, None)[0]


def whole(node: Node) -> Node | None:
    """The pattern without edges that matches a whole text where `node` matches all of it; `None` if there is none.

    Engines match the whole answer and read `^` and `$` differently, so both are taken off where they are idle.
    """
    items = list(node.items) if isinstance(node, Sequence) else [node]
    while items and (items[0] == Edge("^") or isinstance(items[0], Look)):
        items.pop(0)
    while items and items[-1] == Edge("$"):
        items.pop()
    rest = items[0] if len(items) == 1 else Sequence(tuple(items))
    if isinstance(rest, Choice):
        options = [whole(option) for option in rest.options]
        return None if None in options else Choice(tuple(option for option in options if option is not None))
    return None if _has(rest, (Edge, Look)) else rest


def searched(node: Node) -> Node | None:
    """The pattern that matches a whole text in which `node` is found; `None` if its edges are in odd places."""
    if isinstance(node, Choice):
        options = [searched(option) for option in node.options]
        return None if None in options else Choice(tuple(option for option in options if option is not None))
    items = list(node.items) if isinstance(node, Sequence) else [node]
    anything = Repeat(Chars(((0, 0x10FFFF),)), 0, None)
    before = [] if items and items[0] == Edge("^") else [anything]
    after = [] if items and items[-1] == Edge("$") else [anything]
    inner = whole(node)
    return None if inner is None else Sequence((*before, inner, *after))


def llama(node: Node) -> str:
    """llama.cpp's subset, `^(…)$`, over the characters of a JSON string as they are written.

    llama.cpp puts the pattern between quotes without escaping, so that `.` would end the string early: quotes,
    backslashes and controls are written here as their escapes. Raises `PatternError` when the subset has no
    form for it (Unicode properties, a repetition of something that may be empty).
    """
    return f"^({_llama(_escaped(node))})$"


def _has(node: Node, kinds: tuple[type, ...]) -> bool:
    if isinstance(node, kinds):
        return True
    match node:
        case Sequence(items) | Choice(items):
            return any(_has(item, kinds) for item in items)
        case Repeat(inner, _, _) | Look(inner, _):
            return _has(inner, kinds)
        case _:
            return False


def _write(node: Node, char: Callable[[Chars], str], edges: dict[str, str], repeat: int | None) -> tuple[str, int]:
    """The text, and the largest product of nested counts in it."""
    match node:
        case Chars():
            return char(node), 1
        case Edge(kind):
            if kind not in edges:
                raise PatternError("uses a word boundary")
            return edges[kind], 1
        case Sequence(items) | Choice(items):
            written = [_write(item, char, edges, repeat) for item in items]
            glue = "" if isinstance(node, Sequence) else "|"
            texts = [f"(?:{text})" if glue == "" and isinstance(item, Choice) else text
                     for item, (text, _) in zip(items, written, strict=True)]  # fmt: skip
            return glue.join(texts), max((count for _, count in written), default=1)
        case Repeat(inner, low, high):
            text, count = _write(inner, char, edges, repeat)
            return _repeated(f"(?:{text})", low, high, None if repeat is None else max(1, repeat // count), count)
        case Look():
            raise PatternError("uses a lookahead where no linear-time engine has one")


def _repeated(unit: str, low: int, high: int | None, most: int | None, count: int) -> tuple[str, int]:
    if (low, high) in {(0, None), (1, None), (0, 1)}:
        return unit + {(0, None): "*", (1, None): "+", (0, 1): "?"}[low, high], count
    if most is None or max(low, high or 0) <= most:
        bounds = f"{low}" if low == high else f"{low},{'' if high is None else high}"
        return f"{unit}{{{bounds}}}", count * max(low, high or 0, 1)
    parts = _chunks(unit, low, most, "{%d}")
    parts += unit + "*" if high is None else _chunks(unit, high - low, most, "{0,%d}")
    return f"(?:{parts})", count * most


def _chunks(unit: str, times: int, most: int, form: str) -> str:
    whole_chunks, rest = divmod(times, most)
    return (unit + form % most) * whole_chunks + (unit + form % rest if rest else "")


def _members(ranges: Ranges, point: Callable[[int], str]) -> str:
    return "".join(point(low) if low == high else f"{point(low)}-{point(high)}" for low, high in ranges)


def _re2_point(point: int) -> str:
    return f"\\x{{{point:X}}}"


def _re2_char(chars: Chars) -> str:
    if not chars.ranges and not chars.properties:
        return r"[^\x{0}-\x{10FFFF}]"
    names = "".join(f"\\p{{{name}}}" for name in chars.properties)
    return f"[{'^' if chars.negated else ''}{_members(chars.ranges, _re2_point)}{names}]"


def _portable_point(point: int) -> str:
    char = chr(point)
    if char in _PLAIN and char != " ":
        return char
    return f"\\u{point:04X}" if point <= 0xFFFF else char


def _portable_char(chars: Chars) -> str:
    if not chars.ranges and not chars.properties:
        raise PatternError("has a class that matches nothing")
    if len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1] and not chars.properties:
        return _portable_point(chars.ranges[0][0])
    names = "".join(f"\\p{{{name}}}" for name in chars.properties)
    return f"[{'^' if chars.negated else ''}{_members(chars.ranges, _portable_point)}{names}]"


def _escaped(node: Node) -> Node:
    """The same language, each text written as the inside of a JSON string."""
    match node:
        case Chars(ranges, properties):
            if properties:
                raise PatternError("uses a Unicode property")
            special = common(ranges, _NOT_RAW)
            named = [point for low, high in special for point in range(low, high + 1) if point in _JSON_ESCAPES]
            options: list[Node] = [Chars(minus(ranges, _NOT_RAW))] if minus(ranges, _NOT_RAW) else []
            if named:
                letters = Chars(tuple(sorted((ord(_JSON_ESCAPES[p]),) * 2 for p in named)))
                options.append(Sequence((Chars(((0x5C, 0x5C),)), letters)))
            if any(point not in _JSON_ESCAPES for low, high in special for point in range(low, high + 1)):
                options.append(_UNNAMED)
            return options[0] if len(options) == 1 else Choice(tuple(options))
        case Sequence(items):
            return Sequence(tuple(map(_escaped, items)))
        case Choice(items):
            return Choice(tuple(map(_escaped, items)))
        case _:
            assert isinstance(node, Repeat)  # `whole` and `searched` leave no edge and no lookahead
            return Repeat(_escaped(node.node), node.low, node.high)


def _llama_point(point: int) -> str:
    return f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}"


def _llama(node: Node) -> str:
    match node:
        case Chars(ranges):
            if len(ranges) == 1 and ranges[0][0] == ranges[0][1] and chr(ranges[0][0]) in _PLAIN:
                return chr(ranges[0][0])
            return f"[{_members(ranges, _llama_point)}]"
        case Sequence(items):
            return "".join(f"({_llama(item)})" if isinstance(item, Choice) else _llama(item) for item in items)
        case Choice(options):
            present = [option for option in options if option != Sequence(())]
            text = "|".join(map(_llama, present))
            return text if len(present) == len(options) else f"({text})?"
        case _:
            assert isinstance(node, Repeat)
            if nullable(node.node):
                raise PatternError("repeats what may be empty")
            return _repeated(f"({_llama(node.node)})", node.low, node.high, None, 1)[0]
