"""Batches lose no text, keep to their limits, and can be narrowed down to one text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embeddings_mcp.batching import about, at_most, halves, split, unique

sizes = st.lists(st.integers(min_value=1, max_value=500), max_size=200)


@given(sizes, st.integers(1, 64), st.integers(1, 2000))
def test_every_text_is_in_exactly_one_batch_and_no_batch_is_too_big(
    tokens: list[int], max_texts: int, max_tokens: int
) -> None:
    batches = split(tokens, max_texts=max_texts, max_tokens=max_tokens)
    assert sorted(position for batch in batches for position in batch) == list(range(len(tokens)))
    for batch in batches:
        assert 1 <= len(batch) <= max_texts
        assert len(batch) == 1 or sum(tokens[position] for position in batch) <= max_tokens


def test_the_longest_texts_go_first_and_like_goes_with_like() -> None:
    assert split([1, 9, 2, 8], max_texts=2, max_tokens=100) == ((1, 3), (2, 0))


def test_a_text_larger_than_the_budget_is_alone() -> None:
    assert split([5, 50, 5], max_texts=8, max_tokens=10) == ((1,), (0, 2))


def test_positions_that_must_be_alone_are_alone() -> None:
    assert split([3, 1, 2], max_texts=8, max_tokens=100, alone=[1]) == ((1,), (0, 2))


def test_no_texts_make_no_batches() -> None:
    assert split([], max_texts=1, max_tokens=1) == ()


@given(st.lists(st.sampled_from("abcd")))
def test_equal_texts_are_sent_once_and_each_finds_its_like(keys: list[str]) -> None:
    distinct, places = unique(keys)
    assert len(set(distinct)) == len(distinct)
    assert [distinct[place] for place in places] == keys


@given(st.integers(2, 100))
def test_halves_of_a_batch_are_smaller_and_lose_nothing(count: int) -> None:
    left, right = halves(tuple(range(count)))
    assert left + right == tuple(range(count))
    assert 0 < len(left) <= len(right) < count


@given(st.text())
def test_the_estimate_from_above_is_never_below_the_estimate(text: str) -> None:
    assert 1 <= about(text) <= at_most(text)
