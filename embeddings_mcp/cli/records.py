"""Vectors in files: JSON lines that a broken run can be taken up from, and NumPy arrays made of them.

A line is `{"index", "model", "text", "embedding"}`, or `{"index", "model", "text", "error"}`; `text` is a hash of
the text, by which a run that is taken up again knows that the input is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from embeddings_mcp.vectors import from_base64
from router_mcp.errors import InvalidArgumentsError


def fingerprint(text: str) -> str:
    """Return the hash of a text that stands in its line."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def record(index: int, model: str, text: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what stands in a line: `outcome` is `embedding` (numbers, or base64) or `error` (a reason)."""
    return {"index": index, "model": model, "text": fingerprint(text), **outcome}


def line(record: dict[str, Any]) -> bytes:
    """Return a record as a line."""
    return orjson.dumps(record) + b"\n"


@dataclass(frozen=True, slots=True)
class Done:
    """What an earlier run left: whole lines, in order."""

    texts: tuple[str, ...] = ()
    """Fingerprints."""
    models: frozenset[str] = frozenset()
    dimensions: frozenset[int] = frozenset()
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """What vectors a run makes."""

    models: frozenset[str]
    """Those that may serve: all of one space."""
    dimensions: int


def take_up(path: Path) -> Done:
    """Read what an earlier run left, and cut a last line that it could not finish."""
    if not path.exists():
        return Done()
    texts: list[str] = []
    models: set[str] = set()
    dimensions: set[int] = set()
    failed = whole = 0
    with path.open("rb") as file:
        for raw in file:
            record = _record(path, len(texts), raw)
            if record is None:
                break
            texts.append(record["text"])
            models.add(record["model"])
            if "embedding" in record:
                dimensions.add(_dimensions(record["embedding"]))
            else:
                failed += 1
            whole += len(raw)
    with path.open("rb+") as file:
        file.truncate(whole)
    return Done(tuple(texts), frozenset(models), frozenset(dimensions), failed)


def _record(path: Path, index: int, raw: bytes) -> dict[str, Any] | None:
    """Return a line's record; `None` for a last line that was cut off."""
    if not raw.endswith(b"\n"):
        return None
    try:
        record = orjson.loads(raw)
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("index") != index or not {"text", "model"} <= record.keys():
        message = f"{path}:{index + 1} is not a line that this command wrote. Use --overwrite, or another --output."
        raise InvalidArgumentsError(message)
    return record


def _dimensions(embedding: str | list[float]) -> int:
    return len(from_base64(embedding)) if isinstance(embedding, str) else len(embedding)


def check_same(path: Path, done: Done, wanted: Kind, texts: Iterator[str]) -> None:
    """Take as many texts as are done; refuse when they are others than the file's, or its vectors of another kind."""
    if strangers := done.models - wanted.models:
        message = f"{path} holds vectors of {', '.join(sorted(strangers))}, of another space."
        raise InvalidArgumentsError(f"{message} Use --overwrite, or another --output.")
    if done.dimensions - {wanted.dimensions}:
        message = f"{path} holds vectors of {min(done.dimensions)} dimensions, not {wanted.dimensions}."
        raise InvalidArgumentsError(f"{message} Use --overwrite, or another --output.")
    for index, known in enumerate(done.texts):
        text = next(texts, None)
        if text is None or fingerprint(text) != known:
            message = f"{path}:{index + 1} is of another text than the input has there."
            raise InvalidArgumentsError(f"{message} Use --overwrite, or another --output.")


def to_npy(lines: Path, target: Path, dimensions: int, count: int) -> None:
    """Make a float32 array of base64 lines, one row a text; a text that failed has a row of NaN."""
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=(count, dimensions))
    with lines.open("rb") as file:
        for index, raw in enumerate(file):
            embedding = orjson.loads(raw).get("embedding")
            array[index] = np.nan if embedding is None else from_base64(embedding)
    array.flush()
