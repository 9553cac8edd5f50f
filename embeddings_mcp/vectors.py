"""Arithmetic on vectors, checks included. Pure; arrays are float32 with one row a text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import cast

import numpy as np
import orjson

from embeddings_mcp.domain import Ranked, Vectors


def matrix(rows: Sequence[Sequence[float | None] | Vectors]) -> Vectors:
    """Make an array of rows; raise `ValueError` when they differ in length. `None` is NaN, as llama.cpp writes it."""
    array = np.array(rows, dtype=np.float32)
    return array if array.ndim == 2 else array.reshape(len(rows), 0)


def unusable(vectors: Vectors) -> tuple[int, ...]:
    """Return the positions of rows that hold NaN or infinity, or nothing but zeros (Ollama #19 and its kin)."""
    good = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    return tuple(np.flatnonzero(~good).tolist())


def normalised(vectors: Vectors) -> Vectors:
    """Scale every row to length 1; a row of zeros stays as it is."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return cast("Vectors", (vectors / np.where(norms == 0, 1, norms)).astype(np.float32))


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """Keep the first dimensions and scale to length 1 again: sound only for models trained for it."""
    return normalised(vectors[:, :dimensions])


def ranked(query: Vectors, texts: Vectors, top_k: int | None) -> tuple[Ranked, ...]:
    """Put texts in order of their cosine likeness to the query, best first; equals keep their order."""
    scores = normalised(texts).astype(np.float64) @ normalised(query)[0].astype(np.float64)
    order = np.argsort(-scores, kind="stable")[:top_k]
    return tuple(Ranked(int(index), float(scores[index].clip(-1, 1))) for index in order)


def to_floats(vectors: Vectors) -> list[list[float]]:
    """Return numbers with no more digits than float32 has: reading them back gives the same float32."""
    rows: list[list[float]] = orjson.loads(
        orjson.dumps(np.ascontiguousarray(vectors), option=orjson.OPT_SERIALIZE_NUMPY)
    )
    return rows


def to_base64(vectors: Vectors) -> list[str]:
    """Return each row as base64 of little-endian float32."""
    return [base64.b64encode(row.tobytes()).decode() for row in vectors.astype("<f4", copy=False)]


def from_base64(text: str) -> Vectors:
    """Read what `to_base64` wrote; raise `ValueError` for anything else."""
    return cast("Vectors", np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4"))
