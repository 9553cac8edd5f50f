"""Lark's notation of EBNF: `start: "yes" | "no"`. llguidance (vLLM's guidance, llama.cpp's) and xgrammar read it.

Only what is Lark is read: llguidance's extensions (`%json`, `%regex`, `&`, special tokens, `max_tokens`) bind a
text to things that cannot be seen in it, so an answer could not be checked.
"""

from __future__ import annotations

import re
from typing import Final

from router_mcp.structured.grammar_tree import Either, GrammarError, Name, Series, Times, Tree
from router_mcp.structured.lark_atoms import COMMON, literal, pattern, span
from router_mcp.structured.limits import PATTERN_NESTING

_TOKEN: Final = re.compile(
    r"""(?:
      (?P<rule>[?!]*[_A-Za-z][\w-]*(?:\.-?\d+)?(?:\[(?:lazy|capture)\])?\s*:)
    | (?P<alias>->\s*\w+) | (?P<name>[_A-Za-z][\w-]*)
    | (?P<span>"(?:[^"\\\n]|\\.)*"\s*\.\.\s*"(?:[^"\\\n]|\\.)*")
    | (?P<text>"(?:[^"\\\n]|\\.)*"i?) | (?P<pattern>/(?!/)(?:[^/\\\n]|\\.)+/[a-z]*)
    | (?P<count>~\s*\d{1,7}(?:\s*\.\.\s*\d{1,7})?|\{\s*\d{0,7}\s*(?:,\s*\d{0,7}\s*)?\}) | (?P<mark>[()\[\]|*+?])
    | %(?P<directive>llguidance\s*\{\s*\}|ignore\b|import\s+common\.\w+(?:\s*->\s*\w+)?
        |import\s+common\s*\([\w\s,]*\))
    )""",
    re.VERBOSE,
)
_IDLE: Final = re.compile(r"(?:\s|//[^\n]*|\#[^\n]*)*")
IGNORED: Final = "%ignore"
_ATOMS: Final = {"span": span, "text": literal, "pattern": pattern}


def parse(text: str) -> dict[str, Tree]:
    """The rules by name, `start` first among them; raises `GrammarError`."""
    reader = _Reader(_tokens(text))
    while reader.kind != "end":
        reader.statement()
    ignored: list[Tree] = [Name(IGNORED)] if reader.ignored else []
    rules = {**reader.terminals, **reader.rules}
    if ignored:
        rules[IGNORED] = Times(Either(tuple(reader.ignored)), 0, None)
        rules["start"] = Series((Name(IGNORED), rules.get("start", Name("start"))))
    return rules


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while True:
        idle = _IDLE.match(text, at)
        at = idle.end() if idle else at
        if at >= len(text):
            return [*found, ("end", "")]
        token = _TOKEN.match(text, at)
        if not token or not token.lastgroup:
            line = text.count("\n", 0, at) + 1
            raise GrammarError(f"has something on line {line} that Lark does not, or that could not be checked")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.rules: dict[str, Tree] = {}
        self.terminals: dict[str, Tree] = {}
        self.ignored: list[Tree] = []
        self.skips = any(kind == "directive" and word.startswith("ignore") for kind, word in tokens)
        self.in_rule = False

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def statement(self) -> None:
        kind, word = self.kind, self.take()
        if kind == "directive":
            self.directive(word)
        elif kind == "rule":
            name = re.sub(r"(\.-?\d+)?(\[\w+\])?\s*:$", "", word).lstrip("?!")
            self.in_rule = not _is_terminal(name)
            (self.rules if self.in_rule else self.terminals)[name] = self.choice(0)
        else:
            raise GrammarError(f"has {word[:20]!r} where a rule should begin")

    def directive(self, word: str) -> None:
        if word.startswith("ignore"):
            self.in_rule = False
            self.ignored.append(self.choice(0))
        elif word.startswith("import"):
            names, _, alias = word.removeprefix("import").strip().removeprefix("common").partition("->")
            for name in re.findall(r"\w+", names):
                if name not in COMMON:
                    raise GrammarError(f"imports common.{name[:40]}, which is not known")
                self.terminals[alias.strip() or name] = pattern(f"/{COMMON[name]}/")

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
        while self.kind in {"name", "span", "text", "pattern"} or self.word in {"(", "["}:
            item = self.atom(depth)
            while self.kind == "count" or self.word in {"*", "+", "?"}:
                item = Times(item, *_bounds(self.take()))
            items.append(item)
        if self.kind == "alias":
            self.take()
        return items[0] if len(items) == 1 else Series(tuple(items))

    def atom(self, depth: int) -> Tree:
        kind, word = self.kind, self.take()
        if kind == "name" and not _is_terminal(word):
            return Name(word)
        if kind in {"name", "span", "text", "pattern"}:
            made: Tree = Name(word) if kind == "name" else _ATOMS[kind](word)
            return Series((made, Name(IGNORED))) if self.in_rule and self.skips else made
        inner = self.choice(depth + 1)
        closing = {"(": ")", "[": "]"}[word]
        if self.word != closing:
            raise GrammarError("has an unclosed group")
        self.take()
        return inner if word == "(" else Times(inner, 0, 1)


def _is_terminal(name: str) -> bool:
    return name.lstrip("_").isupper()


def _bounds(word: str) -> tuple[int, int | None]:
    if word in {"*", "+", "?"}:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[word]
    low, comma, high = word.strip("~{} ").replace("..", ",").partition(",")
    if not comma:
        return int(low or 0), int(low or 0)
    if high.strip() and int(high) < int(low or 0):
        raise GrammarError("has a repetition whose bounds are the wrong way round")
    return int(low or 0), int(high) if high.strip() else None
