"""ECMA-262 regular expressions as a tree, so that each engine gets the dialect it reads.

JSON Schema's `pattern` is ECMA-262. Python's `re` backtracks without bound, RE2 and llguidance lack some
forms, llama.cpp knows a small subset; `regex_emit` writes each from this tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""

LAST: Final = 0x10FFFF
SURROGATES: Final = (0xD800, 0xDFFF)


class PatternError(ValueError):
    """A pattern that is wrong, or uses what no linear-time engine has. `str()` says what, in a clause."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set. `properties` are Unicode properties in RE2's short form, such as `L` or `Greek`."""

    ranges: Ranges
    properties: tuple[str, ...] = ()
    negated: bool = False
    """Only with `properties`; without them the ranges are already complemented."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; empty matches the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times; `high` is `None` without end. Greed does not matter to whether a text matches."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Edge:
    """`^`, `$`, `b` or `B`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Look:
    """A lookahead; lookbehinds are refused while parsing."""

    node: Node
    negative: bool


Node: TypeAlias = Chars | Sequence | Choice | Repeat | Edge | Look


def union(ranges: Ranges) -> Ranges:
    """Sorted and disjoint, surrogates left out: no well-formed text has them."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Every code point but these and the surrogates."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in union((*ranges, SURROGATES)):
        if low > start:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def minus(ranges: Ranges, taken: Ranges) -> Ranges:
    """What of `ranges` is not in `taken`."""
    return complement((*complement(ranges), *taken))


def common(ranges: Ranges, others: Ranges) -> Ranges:
    """What is in both."""
    return minus(ranges, complement(others))


def nullable(node: Node) -> bool:
    """Whether the node matches the empty text (edges and lookaheads take no text)."""
    match node:
        case Chars():
            return False
        case Sequence(items):
            return all(map(nullable, items))
        case Choice(options):
            return any(map(nullable, options))
        case Repeat(inner, low, _):
            return low == 0 or nullable(inner)
        case _:
            return True


def steps(node: Node) -> int:
    """Characters and classes when every counted repetition is written out: what an automaton is sized by."""
    match node:
        case Sequence(items) | Choice(items):
            return 1 + sum(map(steps, items))
        case Repeat(inner, low, high):
            return 1 + steps(inner) * max(low, high or 0, 1)
        case Look(inner, _):
            return 1 + steps(inner)
        case _:
            return 1
