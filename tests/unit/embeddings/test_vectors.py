"""Vectors are checked before they are believed, and written without loss."""

from __future__ import annotations

import base64
import struct
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from embeddings_mcp import vectors
from embeddings_mcp.domain import Vectors

rows = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1000, 1000, width=32, allow_nan=False, allow_infinity=False),
)


@given(rows)
def test_numbers_and_base64_give_back_the_very_same_float32(array: Vectors) -> None:
    assert np.array_equal(np.array(vectors.to_floats(array), dtype=np.float32), array)
    assert np.array_equal(np.array([vectors.from_base64(text) for text in vectors.to_base64(array)]), array)


def test_numbers_are_written_with_no_more_digits_than_float32_has() -> None:
    assert vectors.to_floats(np.array([[0.1, -2.5]], dtype=np.float32)) == [[0.1, -2.5]]


def test_base64_is_little_endian_float32() -> None:
    (text,) = vectors.to_base64(np.array([[1.0, -2.0]], dtype=np.float32))
    assert struct.unpack("<2f", base64.b64decode(text)) == (1.0, -2.0)


def test_nan_infinity_and_zero_rows_are_unusable() -> None:
    array = np.array([[1, 0], [np.nan, 1], [np.inf, 1], [0, 0], [0, -1]], dtype=np.float32)
    assert vectors.unusable(array) == (1, 2, 3)


def test_null_counts_as_nan() -> None:
    assert vectors.unusable(vectors.matrix([[None, 1.0], [1.0, 2.0]])) == (0,)


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        vectors.matrix([[1.0], [1.0, 2.0]])


def test_no_rows_and_empty_rows_have_a_shape_that_can_be_checked() -> None:
    assert vectors.matrix([]).shape == (0, 0)
    assert vectors.matrix([[], []]).shape == (2, 0)


@given(rows)
def test_normalised_rows_have_length_one_and_zero_stays_zero(array: Vectors) -> None:
    lengths = np.linalg.norm(vectors.normalised(array).astype(np.float64), axis=1)
    expected = np.any(array, axis=1).astype(float)
    assert np.allclose(lengths, expected, atol=1e-5)


def test_very_large_numbers_do_not_overflow() -> None:
    big = np.array([[3e38, 3e38]], dtype=np.float32)
    assert np.allclose(vectors.normalised(big), np.sqrt(0.5))


def test_shortened_vectors_keep_the_first_numbers_and_length_one() -> None:
    short = vectors.shortened(np.array([[3, 4, 100]], dtype=np.float32), 2)
    assert np.allclose(short, [[0.6, 0.8]])


def test_a_ranking_is_by_cosine_best_first_and_equals_keep_their_order() -> None:
    query = np.array([[1, 0]], dtype=np.float32)
    texts = np.array([[0, 5], [7, 7], [-1, 0], [2, 2], [9, 0]], dtype=np.float32)
    ranked = vectors.ranked(query, texts, None)
    assert [each.index for each in ranked] == [4, 1, 3, 0, 2]
    assert [round(each.score, 3) for each in ranked] == [1.0, 0.707, 0.707, 0.0, -1.0]
    assert [each.index for each in vectors.ranked(query, texts, 2)] == [4, 1]


def test_a_score_is_never_above_one() -> None:
    row = cast("Vectors", np.full((1, 3), 0.1, dtype=np.float32))
    assert vectors.ranked(row, row, None)[0].score <= 1
