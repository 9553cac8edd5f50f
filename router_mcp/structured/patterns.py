"""Regular expressions that are checked in time linear in the text, whatever the pattern is.

RE2 does the matching. It has no lookaheads, but those at the very start of an anchored pattern (`^(?=…)(?!…)…`,
nearly all that schemas use) are separate questions about the same text, so they are asked one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import re2

from router_mcp.structured import regex_emit
from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import Edge, Look, Node, PatternError, Sequence, steps

MEMORY: Final = 3 * 2**20
"""Bytes that RE2 may use for one pattern, its automaton included; it keeps the last 128 patterns."""


class Searchable(Protocol):
    """What RE2 makes of a pattern; it has no public name there."""

    def search(self, text: str) -> object | None:
        """The first match, or `None`."""
        ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that can be searched for. Make it with `compile_search` or `compile_whole`."""

    node: Node
    size: int
    """Characters and classes when every counted repetition is written out."""
    wanted: tuple[Searchable, ...]
    unwanted: tuple[Searchable, ...]

    def matches(self, text: str) -> bool:
        """Whether the pattern is found in `text` (`compile_search`) or matches all of it (`compile_whole`)."""
        return all(part.search(text) for part in self.wanted) and not any(part.search(text) for part in self.unwanted)


def compile_search(pattern: str) -> Pattern:
    """As JSON Schema's `pattern` means it: found anywhere. Raises `PatternError`."""
    node = parse(pattern)
    return _compile(node, node)


def compile_whole(pattern: str) -> Pattern:
    """As a regex constraint means it: the whole text matches. Raises `PatternError`."""
    node = parse(pattern)
    return _compile(node, Sequence((Edge("^"), *_items(node), Edge("$"))))


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else (node,)


def _compile(node: Node, asked: Node) -> Pattern:
    items = _items(asked)
    looks: list[Look] = []
    if items[:1] == (Edge("^"),):
        while isinstance(look := items[1 + len(looks) :][:1], tuple) and look and isinstance(look[0], Look):
            looks.append(look[0])
        items = (items[0], *items[1 + len(looks) :])
    wanted = [Sequence(items), *(_anchored(look) for look in looks if not look.negative)]
    unwanted = [_anchored(look) for look in looks if look.negative]
    return Pattern(node, steps(node), tuple(map(_re2, wanted)), tuple(map(_re2, unwanted)))


def _anchored(look: Look) -> Node:
    return Sequence((Edge("^"), look.node))


def _re2(node: Node) -> Searchable:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    try:
        return re2.compile(regex_emit.re2(node), options)
    except re2.error as failed:
        raise PatternError("is larger than can be checked, or names a Unicode property that is not known") from failed
