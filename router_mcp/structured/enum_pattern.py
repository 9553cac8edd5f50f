"""A long list of strings as a pattern that branches where they differ, so that an engine never weighs them all."""

from __future__ import annotations

from itertools import groupby

from router_mcp.structured.regex_syntax import Chars, Choice, Node, PatternError, Sequence

DEEPEST = 40
"""Branchings inside one another."""
LONGEST = 20_000
"""Characters of all texts together."""


def tree_of(texts: list[str]) -> Node:
    """The pattern that matches exactly these texts; raises `PatternError` when it would be too large."""
    if sum(map(len, texts)) > LONGEST:
        raise PatternError(f"lists more than {LONGEST:,} characters")
    return _branch(sorted(set(texts)), 0)


def _branch(texts: list[str], at: int, depth: int = 0) -> Node:
    if depth > DEEPEST:
        raise PatternError(f"branches more than {DEEPEST} times")
    options: list[Node] = []
    for _, group in groupby(texts, key=lambda text: text[at : at + 1]):
        alike = list(group)
        end = _common(alike[0], alike[-1])
        begin = tuple(_chars(alike[0][at:end]))
        if len(alike) == 1:
            options.append(Sequence(begin))
        else:
            rest = _branch(alike, end, depth + 1)
            options.append(Sequence((*begin, rest)))
    return options[0] if len(options) == 1 else Choice(tuple(options))


def _common(first: str, last: str) -> int:
    """How many characters both begin with; of sorted texts, so do all between them."""
    shorter = min(len(first), len(last))
    return next((at for at in range(shorter) if first[at] != last[at]), shorter)


def _chars(text: str) -> list[Node]:
    return [Chars(((ord(char), ord(char)),)) for char in text]
