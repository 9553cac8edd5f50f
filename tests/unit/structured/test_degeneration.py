"""A stream that says nothing any more is noticed while it runs, and an honest one is left alone."""

from __future__ import annotations

import json

import pytest

from router_mcp.structured import Degeneration


def noticed_at(text: str, piece: int) -> int | None:
    """How many characters had come when it was noticed."""
    stream = Degeneration()
    for start in range(0, len(text), piece):
        if stream.feed(text[start : start + piece]):
            return start + piece
    return None


@pytest.mark.parametrize("piece", [1, 3, 7, 1_000, 100_000])
@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1' + "\n" * 3_000,
        '{"a": 1' + " \t\n" * 1_000,
        '{"a": "' + "ha" * 2_000,
        '{"a": 0.' + "3" * 3_000,
        '{"items": [' + '{"name": "The Red", "children": []}, ' * 120,
        "[" + "x" * 50 + ", ".join(["a sentence of some forty characters, again"] * 120),
    ],
    ids=["newlines", "mixed blanks", "two letters", "digits", "objects", "sentences"],
)
def test_a_run_or_a_loop_is_noticed(text: str, piece: int) -> None:
    at = noticed_at(text, piece)
    assert at is not None
    assert at <= max(2_600, piece)


@pytest.mark.parametrize("piece", [1, 5, 4_096])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"id": at, "name": f"item {at * 37 % 101}"} for at in range(300)], indent=4),
        json.dumps([[0] * 12 for _ in range(8)]),
        " ".join(str(at * at) for at in range(2_000)),
        "{" + " " * 200 + '"a": 1}',
        "",
    ],
    ids=["pretty objects", "a small matrix", "numbers", "200 blanks", "nothing"],
)
def test_an_honest_answer_is_left_alone(text: str, piece: int) -> None:
    assert noticed_at(text, piece) is None


def test_once_noticed_it_stays_noticed() -> None:
    stream = Degeneration()
    assert stream.feed(" " * 300)
    assert stream.feed("x")
    assert stream.feed("")
