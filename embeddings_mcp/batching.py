"""Which texts go together into one request. Pure: sizes in, positions out."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

_BYTES_PER_TOKEN = 4
_FEWEST_BYTES_PER_TOKEN = 2
"""Text that packs tokens closer than this (short numbers, rare scripts) is seldom near a model's limit."""


def about(text: str) -> int:
    """Estimate the tokens of a text; good enough to fill a batch."""
    return 1 + len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN


def at_most(text: str) -> int:
    """Estimate the tokens of a text from above, to tell which texts may be longer than a model takes."""
    return 2 + len(text.encode("utf-8", "replace")) // _FEWEST_BYTES_PER_TOKEN


def unique(keys: Sequence[KeyT]) -> tuple[tuple[KeyT, ...], tuple[int, ...]]:
    """Return the distinct keys in order, and for each given key the position of its like among them."""
    places: dict[KeyT, int] = {}
    return_to = tuple(places.setdefault(key, len(places)) for key in keys)
    return tuple(places), return_to


def split(
    tokens: Sequence[int], *, max_texts: int, max_tokens: int, alone: Collection[int] = ()
) -> tuple[tuple[int, ...], ...]:
    """Split positions into batches of at most so many texts and tokens; the longest come first.

    Texts of like length go together, so that a backend that pads wastes little. A text that is larger than
    the budget has a batch of its own, and so has every position in `alone`.
    """
    batches: list[tuple[int, ...]] = [(position,) for position in sorted(alone)]
    current: list[int] = []
    room = max_tokens
    for position in sorted(set(range(len(tokens))).difference(alone), key=lambda each: (-tokens[each], each)):
        if current and (len(current) == max_texts or tokens[position] > room):
            batches.append(tuple(current))
            current, room = [], max_tokens
        current.append(position)
        room -= tokens[position]
    if current:
        batches.append(tuple(current))
    return tuple(batches)


def halves(batch: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split a batch in two, to find out which half is at fault."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
