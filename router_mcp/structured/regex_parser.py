"""Reads an ECMA-262 pattern (Unicode mode, with the leniency of its Annex B where it is harmless)."""

from __future__ import annotations

import re
from typing import Final

from router_mcp.structured.limits import PATTERN_CHARS, PATTERN_NESTING, PATTERN_STEPS
from router_mcp.structured.regex_classes import ANY, CLASSES, CONTROLS, LONG_CATEGORIES
from router_mcp.structured.regex_syntax import (
    SURROGATES,
    Chars,
    Choice,
    Edge,
    Look,
    Node,
    PatternError,
    Repeat,
    Sequence,
    complement,
    steps,
    union,
)

COUNT: Final = re.compile(r"\{(\d+)(,(\d*))?\}")
PROPERTY: Final = re.compile(r"\{(?:(?:General_Category|gc|Script|sc)=)?(\w{1,40})\}")
HEX: Final = re.compile(r"\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4})")
TRAIL: Final = re.compile(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})")


def parse(pattern: str) -> Node:
    """The tree of `pattern`; raises `PatternError` when it is wrong, too large, or not checkable in linear time."""
    if len(pattern) > PATTERN_CHARS:
        raise PatternError(f"has {len(pattern):,} characters, more than {PATTERN_CHARS:,}")
    reader = _Reader(pattern)
    node = reader.choice(0)
    if reader.at < len(pattern):
        raise PatternError("has an unmatched )")
    if steps(node) > PATTERN_STEPS:
        raise PatternError(f"repeats more than {PATTERN_STEPS:,} characters when written out")
    return node


class _Reader:
    """A position in a pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self, literal: str) -> bool:
        return self.text.startswith(literal, self.at)

    def take(self, literal: str) -> bool:
        found = self.peek(literal)
        self.at += len(literal) * found
        return found

    def next(self) -> str:
        if self.at >= len(self.text):
            raise PatternError("ends in the middle of an escape or a class")
        self.at += 1
        return self.text[self.at - 1]

    def choice(self, depth: int) -> Node:
        if depth > PATTERN_NESTING:
            raise PatternError(f"nests groups deeper than {PATTERN_NESTING}")
        options = [self.sequence(depth)]
        while self.take("|"):
            options.append(self.sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self, depth: int) -> Node:
        items: list[Node] = []
        while self.at < len(self.text) and not self.peek("|") and not self.peek(")"):
            items.append(self.quantified(self.atom(depth)))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def quantified(self, node: Node) -> Node:
        bounds = self.quantifier()
        if bounds is None:
            return node
        if isinstance(node, Edge | Look):
            raise PatternError("repeats an anchor or a lookahead")
        self.take("?")  # lazy: the same language
        if self.quantifier() is not None:
            raise PatternError("has two quantifiers in a row")
        return Repeat(node, *bounds)

    def quantifier(self) -> tuple[int, int | None] | None:
        if self.take("*"):
            return 0, None
        if self.take("+"):
            return 1, None
        if self.take("?"):
            return 0, 1
        found = COUNT.match(self.text, self.at)
        if not found:
            return None
        self.at = found.end()
        low = int(found[1])
        high = low if not found[2] else int(found[3]) if found[3] else None
        if high is not None and high < low:
            raise PatternError("has a repetition whose bounds are the wrong way round")
        return low, high

    def atom(self, depth: int) -> Node:
        char = self.next()
        if char == "(":
            return self.group(depth)
        if char == "[":
            return self.char_class()
        if char == "\\":
            return self.escape()
        if char in "^$":
            return Edge(char)
        if char == ".":
            return ANY
        if char in "*+?":
            raise PatternError(f"repeats nothing with {char}")
        return Chars(((ord(char), ord(char)),))

    def group(self, depth: int) -> Node:
        negative: bool | None = None
        if self.take("?"):
            if self.peek("<=") or self.peek("<!"):
                raise PatternError("uses a lookbehind")
            if self.take("="):
                negative = False
            elif self.take("!"):
                negative = True
            elif not self.take(":"):
                named = re.compile(r"<[A-Za-z_$][\w$]*>").match(self.text, self.at)
                if not named:
                    raise PatternError("uses a group or flag that ECMA-262 does not have")
                self.at = named.end()
        node = self.choice(depth + 1)
        if not self.take(")"):
            raise PatternError("has an unclosed group")
        return node if negative is None else Look(node, negative)

    def escape(self) -> Node:
        char = self.next()
        if char in "bB":
            return Edge(char)
        if char == "k" or char in "123456789":
            raise PatternError("uses a back-reference")
        return self.set_escape(char)

    def set_escape(self, char: str) -> Chars:
        """An escape that may stand in a class as well as outside."""
        if char in CLASSES:
            return Chars(CLASSES[char])
        if char in "pP":
            found = PROPERTY.match(self.text, self.at)
            if not found:
                raise PatternError(f"has a malformed \\{char}")
            self.at = found.end()
            return Chars((), (LONG_CATEGORIES.get(found[1], found[1]),), negated=char == "P")
        point = self.code_point(char)
        return Chars(((point, point),))

    def code_point(self, char: str) -> int:
        if char in CONTROLS:
            return CONTROLS[char]
        if char == "c":
            letter = self.next()
            if not (letter.isascii() and letter.isalpha()):
                raise PatternError("has a malformed \\c")
            return ord(letter) % 32
        if char == "x":
            return self.hexadecimal()
        if char == "u":
            return self.unicode_escape()
        if char.isalnum():
            raise PatternError(f"has the escape \\{char}, which ECMA-262 does not have")
        return ord(char)

    def hexadecimal(self) -> int:
        digits = self.text[self.at : self.at + 2]
        if not re.fullmatch("[0-9A-Fa-f]{2}", digits):
            raise PatternError("has a malformed \\x")
        self.at += 2
        return int(digits, 16)

    def unicode_escape(self) -> int:
        found = HEX.match(self.text, self.at)
        if not found:
            raise PatternError("has a malformed \\u")
        self.at = found.end()
        point = int(found[1] or found[2], 16)
        trail = TRAIL.match(self.text, self.at)
        if 0xD800 <= point <= 0xDBFF and trail:
            self.at = trail.end()
            return 0x10000 + ((point - 0xD800) << 10) + (int(trail[1], 16) - 0xDC00)
        if point > 0x10FFFF or SURROGATES[0] <= point <= SURROGATES[1]:
            raise PatternError("has a \\u that is no character")
        return point

    def char_class(self) -> Chars:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        properties: list[str] = []
        while not self.take("]"):
            item = self.class_member()
            if item.negated:
                raise PatternError("uses \\P inside a class")
            ranges.extend(item.ranges)
            properties.extend(item.properties)
        if properties:
            return Chars(union(tuple(ranges)), tuple(properties), negated)
        return Chars(complement(tuple(ranges)) if negated else union(tuple(ranges)))

    def class_member(self) -> Chars:
        low = self.class_atom()
        if not (self.peek("-") and not self.peek("-]")) or not _single(low):
            return low
        mark = self.at
        self.take("-")
        high = self.class_atom()
        if not _single(high):  # as in [a-\d]: Annex B reads the hyphen as itself
            self.at = mark
            return low
        if high.ranges[0][0] < low.ranges[0][0]:
            raise PatternError("has a range whose ends are the wrong way round")
        return Chars(((low.ranges[0][0], high.ranges[0][0]),))

    def class_atom(self) -> Chars:
        char = self.next()
        if char != "\\":
            return Chars(((ord(char), ord(char)),))
        escaped = self.next()
        if escaped == "b":
            return Chars(((8, 8),))
        if escaped in "123456789":
            raise PatternError("uses a back-reference")
        return self.set_escape(escaped)


def _single(chars: Chars) -> bool:
    return len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1] and not chars.properties
