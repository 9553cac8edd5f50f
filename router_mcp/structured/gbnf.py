"""GBNF, llama.cpp's notation of EBNF: `root ::= "yes" | "no"`. vLLM's guidance and xgrammar read it too."""

from __future__ import annotations

import re
from typing import Final

from router_mcp.structured.grammar_tree import Either, GrammarError, Name, Series, Times, Tree
from router_mcp.structured.limits import PATTERN_NESTING
from router_mcp.structured.regex_syntax import LAST, Chars, complement, union

_TOKEN: Final = re.compile(
    r"""\s*(?:\#[^\n]*)?(?:
      (?P<rule>[A-Za-z][A-Za-z0-9_-]*\s*::=) | (?P<name>[A-Za-z][A-Za-z0-9_-]*)
    | (?P<text>"(?:[^"\\\n]|\\.)*") | (?P<chars>\[(?:[^\]\\\n]|\\.)*\])
    | (?P<count>\{\s*\d{1,7}\s*(?:,\s*\d{0,7}\s*)?\}) | (?P<mark>[()|*+?.])
    )""",
    re.VERBOSE,
)
_IDLE: Final = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*")
_ESCAPE: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([tnr\"\[\]\\^-])")
_NAMED: Final = {"t": "\t", "n": "\n", "r": "\r"}


def parse(text: str) -> dict[str, Tree]:
    """The rules by name; raises `GrammarError`."""
    reader = _Reader(_tokens(text))
    rules: dict[str, Tree] = {}
    while reader.kind == "rule":
        name = reader.take().removesuffix("::=").strip()
        rules[name] = reader.choice(0)
    if reader.kind != "end":
        raise GrammarError(f"has {reader.word[:20]!r} where a rule should begin")
    return rules


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = _end_of_idle(text, 0)
    while at < len(text):
        token = _TOKEN.match(text, at)
        if not token or not token.lastgroup:
            raise GrammarError(f"has something that GBNF does not, on line {text.count(chr(10), 0, at) + 1}")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = _end_of_idle(text, token.end())
    return [*found, ("end", "")]


def _end_of_idle(text: str, at: int) -> int:
    idle = _IDLE.match(text, at)
    return idle.end() if idle else at


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def choice(self, depth: int) -> Tree:
        if depth > PATTERN_NESTING:
            raise GrammarError(f"nests groups deeper than {PATTERN_NESTING}")
        options = [self.series(depth)]
        while self.word == "|":
            self.take()
            options.append(self.series(depth))
        return options[0] if len(options) == 1 else Either(tuple(options))

    def series(self, depth: int) -> Tree:
        items: list[Tree] = []
        while self.kind in {"name", "text", "chars"} or self.word in {"(", "."}:
            item = self.atom(depth)
            while self.kind == "count" or self.word in {"*", "+", "?"}:
                item = Times(item, *_bounds(self.take()))
            items.append(item)
        return items[0] if len(items) == 1 else Series(tuple(items))

    def atom(self, depth: int) -> Tree:
        kind, word = self.kind, self.take()
        if kind == "name":
            return Name(word)
        if kind == "text":
            return Series(tuple(Chars(((point, point),)) for point in _points(word[1:-1])))
        if kind == "chars":
            return _chars(word[1:-1])
        if word == ".":
            return Chars(((0, LAST),))
        inner = self.choice(depth + 1)
        if self.word != ")":
            raise GrammarError("has an unclosed group")
        self.take()
        return inner


def _bounds(word: str) -> tuple[int, int | None]:
    if word in {"*", "+", "?"}:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[word]
    low, comma, high = word.strip("{} ").partition(",")
    if not comma:
        return int(low), int(low)
    if high.strip() and int(high) < int(low):
        raise GrammarError("has a repetition whose bounds are the wrong way round")
    return int(low), int(high) if high.strip() else None


def _points(body: str) -> list[int]:
    points: list[int] = []
    at = 0
    while at < len(body):
        if body[at] != "\\":
            points.append(ord(body[at]))
            at += 1
            continue
        escape = _ESCAPE.match(body, at + 1)
        if not escape:
            raise GrammarError("has an escape that GBNF does not have")
        digits = escape[1] or escape[2] or escape[3]
        points.append(int(digits, 16) if digits else ord(_NAMED.get(escape[4], escape[4])))
        at = escape.end()
    return points


def _chars(body: str) -> Chars:
    negated = body.startswith("^")
    pieces = re.findall(r"\\U[0-9A-Fa-f]{8}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\.|[^\\]", body[negated:], re.DOTALL)
    ranges: list[tuple[int, int]] = []
    index = 0
    while index < len(pieces):
        low = high = _points(pieces[index])[0]
        if pieces[index + 1 : index + 2] == ["-"] and index + 2 < len(pieces):
            high = _points(pieces[index + 2])[0]
            index += 2
        if high < low or high > LAST:
            raise GrammarError("has a range whose ends are the wrong way round")
        ranges.append((low, high))
        index += 1
    return Chars(complement(tuple(ranges)) if negated else union(tuple(ranges)))
