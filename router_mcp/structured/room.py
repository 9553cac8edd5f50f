"""How much room an answer gets, so that it ends by itself before its token limit cuts it, and what explains it gets."""

from __future__ import annotations

import math
from typing import Final

from router_mcp.domain import RuntimeKind
from router_mcp.structured.engines import OF_KIND
from router_mcp.structured.fitted import Room

CHARS_PER_TOKEN: Final = 3
"""Of JSON, as most tokenizers write it."""
CAUTIOUS: Final = 1
"""The same for a second try, after an answer that had no end: of the rarest texts."""
NAMES: Final = 4
"""Properties of an object that takes any name, at first."""
BRIEF: Final = 120
"""Characters of a text in a second try of a weak model, which fills as many as it may."""
IN_TIME: Final = 0.6
"""Part of the time left that a second try may need, as the first one went;"""
LEAST: Final = 100
"""it gets so many characters in any case."""
INSTRUCTION_SHARE: Final = 4
"""A schema in the prompt may take one part in this many of a model's context window."""
READ_ON_CPU: Final = 384
"""Tokens of instructions for the embedded runtime: a CPU reads 50 to 200 tokens a second, of the caller's time."""


def instruction_tokens(kind: RuntimeKind, window: int) -> int:
    """Return how many tokens a model with this context window is told about the constraint at most."""
    share = window // INSTRUCTION_SHARE
    return min(share, READ_ON_CPU) if kind == "embedded" else share


def room_of(kind: RuntimeKind, tokens: int, *, short: bool, in_time: float = math.inf) -> Room | None:
    """Return the room for an answer of so many tokens; `None` where the model is trusted to find its end.

    `short` after an answer that was cut, ran into a loop or was no JSON; `in_time` are the characters that the model
    can be expected to write before the deadline.
    """
    weak = OF_KIND[kind].fitted
    if short:
        chars = int(max(LEAST, min(tokens * CAUTIOUS, in_time * IN_TIME)))
        return Room(chars, 1, BRIEF if weak else chars)
    return Room(tokens * CHARS_PER_TOKEN, NAMES, tokens * CHARS_PER_TOKEN) if weak else None
