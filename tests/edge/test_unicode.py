"""Text is made sendable, and short where it is only shown."""

from __future__ import annotations

import pytest

from router_mcp.edge.unicode import is_well_formed, shown, well_formed


@pytest.mark.parametrize("text", ["", "plain", "ü", "😀", "\x00"])
def test_whole_characters_stay_as_they_are(text: str) -> None:
    assert is_well_formed(text)
    assert well_formed(text) is text


def test_half_a_pair_becomes_the_replacement_character_and_two_halves_become_one() -> None:
    assert well_formed("a\ud83db") == "a\ufffdb"
    assert well_formed("\ud83d\ude00") == "😀"
    assert not is_well_formed("\udc00")


def test_a_word_is_shown_on_one_line_and_not_at_any_length() -> None:
    assert shown("a\nb\x1b") == "a?b?"
    assert shown("x" * 100) == "x" * 60 + "…"
    assert shown("x" * 60) == "x" * 60
