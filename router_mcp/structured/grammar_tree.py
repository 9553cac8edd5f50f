"""A context-free grammar as a tree, whatever notation it came in, and as the numbered rules of its language."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from router_mcp.structured.limits import GRAMMAR_SYMBOLS
from router_mcp.structured.regex_syntax import Chars, Choice, Node, Repeat, Sequence


class GrammarError(ValueError):
    """A grammar that is wrong, or that answers could not be checked against. `str()` says what, in a clause."""


@dataclass(frozen=True, slots=True)
class Name:
    """Another rule, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other, where names may occur."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several, where names may occur."""

    options: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """`low` to `high` times, where names may occur; `high` is `None` without end."""

    tree: Tree
    low: int
    high: int | None


Tree: TypeAlias = Name | Series | Either | Times | Node
Symbol: TypeAlias = int | Chars
"""A rule by its number, or a set of characters."""
Rules: TypeAlias = tuple[tuple[tuple[Symbol, ...], ...], ...]
"""Per rule its alternatives, each a row of symbols."""


@dataclass(frozen=True, slots=True)
class Language:
    """The rules as numbers, ready to check with; rule 0 is the start."""

    rules: Rules
    nullable: frozenset[int]
    loops: frozenset[int]
    """Rules made for a repetition without end; they are left-recursive here, though not in the grammar."""

    def is_left_recursive(self) -> bool:
        """Whether a rule begins with itself, which llama.cpp refuses."""
        graph: dict[int, set[int]] = {}
        for number, alternatives in enumerate(self.rules):
            follows = graph.setdefault(number, set())
            for symbols in alternatives:
                for symbol in symbols:
                    if isinstance(symbol, int) and not (symbol == number and number in self.loops):
                        if number in self.loops and symbol in self.nullable:
                            return True
                        follows.add(symbol)
                    if isinstance(symbol, Chars) or symbol not in self.nullable:
                        break
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            return True
        return False


def language(rules: dict[str, Tree], start: str) -> Language:
    """Make the rules ready; raises `GrammarError` for a name that is not defined, or too large a grammar."""
    if start not in rules:
        raise GrammarError(f"has no rule {start}")
    flat = _Flattener(rules)
    flat.number(start)
    while flat.waiting:
        name = flat.waiting.pop()
        flat.rules[flat.numbers[name]] = flat.alternatives(rules[name])
    done = tuple(tuple(map(tuple, alternatives)) for alternatives in flat.rules)
    if 0 not in _deriving(done, text=True):
        raise GrammarError(f"never comes to an end from its rule {start}")
    return Language(done, _deriving(done, text=False), frozenset(flat.loops))


class _Flattener:
    def __init__(self, rules: dict[str, Tree]) -> None:
        self.named = rules
        self.numbers: dict[str, int] = {}
        self.waiting: list[str] = []
        self.rules: list[list[list[Symbol]]] = []
        self.loops: set[int] = set()
        self.size = 0

    def number(self, name: str) -> int:
        if name not in self.named:
            raise GrammarError(f"uses the rule {name[:60]}, which it does not define")
        if name not in self.numbers:
            self.numbers[name] = self.fresh([])
            self.waiting.append(name)
        return self.numbers[name]

    def fresh(self, alternatives: list[list[Symbol]]) -> int:
        self.rules.append(alternatives)
        return len(self.rules) - 1

    def alternatives(self, tree: Tree) -> list[list[Symbol]]:
        options = tree.options if isinstance(tree, Choice | Either) else (tree,)
        return [self.symbols(option) for option in options]

    def symbols(self, tree: Tree) -> list[Symbol]:
        self.size += 1
        if self.size > GRAMMAR_SYMBOLS:
            raise GrammarError(f"has more than {GRAMMAR_SYMBOLS:,} symbols when repetitions are written out")
        match tree:
            case Chars():
                if tree.properties:
                    raise GrammarError("uses a Unicode property")
                return [tree]
            case Name(name):
                return [self.number(name)]
            case Sequence(items) | Series(items):
                return [symbol for item in items for symbol in self.symbols(item)]
            case Choice() | Either():
                return [self.fresh(self.alternatives(tree))]
            case Repeat(inner, low, high) | Times(inner, low, high):
                return self.repeated(inner, low, high)
            case _:
                raise GrammarError("uses an anchor or a lookahead")

    def repeated(self, tree: Tree, low: int, high: int | None) -> list[Symbol]:
        unit = self.fresh([self.symbols(tree)])
        self.size += max(low, high or 0)
        if self.size > GRAMMAR_SYMBOLS:
            raise GrammarError(f"has more than {GRAMMAR_SYMBOLS:,} symbols when repetitions are written out")
        found: list[Symbol] = [unit] * low
        if high is None:
            loop = self.fresh([[]])
            self.loops.add(loop)
            self.rules[loop].append([loop, unit])
            return [*found, loop]
        rest: list[Symbol] = []
        for _ in range(high - low):  # (x (x (x)?)?)? rather than x? x? x?, which is ambiguous
            rest = [self.fresh([[], [unit, *rest]])]
        return [*found, *rest]


def _deriving(rules: Rules, *, text: bool) -> frozenset[int]:
    """The rules that derive some finite text (`text`), or the empty text."""
    users: dict[int, list[tuple[int, int]]] = {}
    lacking: dict[tuple[int, int], int] = {}
    ready: list[int] = []
    for number, alternatives in enumerate(rules):
        for index, symbols in enumerate(alternatives):
            needs = [symbol for symbol in symbols if isinstance(symbol, int) or not text]
            lacking[number, index] = len(needs)
            if not needs:
                ready.append(number)
            for symbol in needs:
                if isinstance(symbol, int):
                    users.setdefault(symbol, []).append((number, index))
    found: set[int] = set()
    while ready:
        number = ready.pop()
        if number in found:
            continue
        found.add(number)
        for use in users.get(number, ()):
            lacking[use] -= 1
            if not lacking[use]:
                ready.append(use[0])
    return frozenset(found)
