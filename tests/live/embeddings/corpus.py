"""Texts for the embedded model: many, long, and each its own."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

LABELLED = Path(__file__).parents[2] / "data" / "ranking.json"


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and the document that answers it."""

    topic: str
    query: str
    document: str


def labelled() -> tuple[Pair, ...]:
    """Return the labelled set, written for this project."""
    return tuple(Pair(**pair) for pair in json.loads(LABELLED.read_text()))


def long_texts(count: int, words: int = 200) -> tuple[str, ...]:
    """Return different texts of so many words, the same every time."""
    dice = random.Random(7)
    vocabulary = sorted({word for pair in labelled() for word in pair.document.split()})
    return tuple(" ".join(dice.choices(vocabulary, k=words)) for _ in range(count))
