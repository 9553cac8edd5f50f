"""Whether a text is a sentence of a grammar: Earley's algorithm, over characters.

It is exact for every grammar, ambiguous ones too, and counts its steps. Engines put a lexer in front that takes
the longest token, so what they write is in the language, but not everything in the language is what they would
write: checking with theirs (llguidance's) would refuse answers of llama.cpp, which has no lexer.
"""

from __future__ import annotations

from typing import TypeAlias

from router_mcp.structured.grammar_tree import Language
from router_mcp.structured.limits import GRAMMAR_CHECK_STEPS
from router_mcp.structured.regex_syntax import Chars

Item: TypeAlias = tuple[int, int, int, int]
"""Rule, alternative, symbols already matched, where the rule began."""


class TooManyStepsError(Exception):
    """The check was given up."""


def contains(language: Language, text: str) -> bool:
    """Whether all of `text` is a sentence; raises `TooManyStepsError` where that takes too long to find out."""
    return _Earley(language).run(text)


class _Earley:
    def __init__(self, language: Language) -> None:
        self.rules = language.rules
        self.nullable = language.nullable
        self.steps = 0
        self.waiting: list[dict[int, list[Item]]] = []
        """Per position, the items that wait for a rule to end, by rule."""

    def run(self, text: str) -> bool:
        current = self.predicted(0, 0)
        for position, char in enumerate(text):
            point = ord(char)
            current = [
                (rule, alternative, done + 1, origin)
                for rule, alternative, done, origin in self.close(current, position)
                if self.reads(rule, alternative, done, point)
            ]
            if not current:
                return False
        return any(item[0] == 0 and item[3] == 0 and self.ended(item) for item in self.close(current, len(text)))

    def predicted(self, rule: int, position: int) -> list[Item]:
        return [(rule, number, 0, position) for number in range(len(self.rules[rule]))]

    def ended(self, item: Item) -> bool:
        return item[2] == len(self.rules[item[0]][item[1]])

    def reads(self, rule: int, alternative: int, done: int, point: int) -> bool:
        symbols = self.rules[rule][alternative]
        if done == len(symbols):
            return False
        symbol = symbols[done]
        return isinstance(symbol, Chars) and any(low <= point <= high for low, high in symbol.ranges)

    def close(self, items: list[Item], position: int) -> set[Item]:
        """Everything that follows at this position; items waiting for a rule are noted on the way."""
        seen = set(items)
        todo = list(items)
        waiting: dict[int, list[Item]] = {}
        self.waiting.append(waiting)
        while todo:
            followers = self.follow(todo.pop(), waiting, position)
            self.steps += 1 + len(followers)
            if self.steps > GRAMMAR_CHECK_STEPS:
                raise TooManyStepsError
            for following in followers:
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        return seen

    def follow(self, item: Item, waiting: dict[int, list[Item]], position: int) -> list[Item]:
        rule, alternative, done, origin = item
        symbols = self.rules[rule][alternative]
        if done == len(symbols):
            return [(r, a, d + 1, o) for r, a, d, o in self.waiting[origin].get(rule, ())]
        symbol = symbols[done]
        if isinstance(symbol, Chars):
            return []
        found: list[Item] = []
        if symbol not in waiting:
            waiting[symbol] = []
            found = self.predicted(symbol, position)
        waiting[symbol].append(item)
        if symbol in self.nullable:
            found.append((rule, alternative, done + 1, origin))
        return found
