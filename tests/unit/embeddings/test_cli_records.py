"""Runs that broke are taken up where they ended, and only with the same texts and the same kind of vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embeddings_mcp.cli import bulk, records
from embeddings_mcp.domain import Answer, Batch, EmbedRequest
from embeddings_mcp.errors import TextTooLongError
from embeddings_mcp.vectors import to_base64
from router_mcp.errors import InvalidArgumentsError, NoRuntimeError, UnreachableError
from tests.unit.embeddings.fakes import FakeBackend, answer, expected, failing, world

KIND = records.Kind(frozenset({"m"}), 2)


def line(index: int, text: str, **changes: Any) -> bytes:
    outcome = {"embedding": [1.0, 0.0]}
    return records.line({**records.record(index, "m", text, outcome), **changes})


def test_a_file_that_is_not_there_leaves_everything_to_do(tmp_path: Path) -> None:
    assert records.take_up(tmp_path / "new.jsonl") == records.Done()


def test_a_last_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line(0, "a") + line(1, "b") + line(2, "c")[:-9])
    done = records.take_up(path)
    assert done.texts == (records.fingerprint("a"), records.fingerprint("b"))
    assert path.read_bytes() == line(0, "a") + line(1, "b")
    left = iter(["a", "b", "c"])
    records.check_same(path, done, KIND, left)
    assert list(left) == ["c"]


def test_failures_of_the_earlier_run_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line(0, "a") + records.line(records.record(1, "m", "b", {"error": "too long"})))
    assert records.take_up(path).failed == 1


@pytest.mark.parametrize(
    ("content", "texts", "says"),
    [
        (line(0, "a"), ["other"], ":1 is of another text"),
        (line(0, "a") + line(1, "b"), ["a"], ":2 is of another text"),
        (line(0, "a", model="n"), ["a"], "holds vectors of n, of another space"),
        (line(0, "a", embedding=[1.0]), ["a"], "vectors of 1 dimensions, not 2"),
        (line(0, "a", embedding=to_base64(np.ones((1, 3), dtype=np.float32))[0]), ["a"], "3 dimensions, not 2"),
        (line(3, "a"), ["a"], ":1 is not a line that this command wrote"),
        (b"hello\n", ["a"], ":1 is not a line that this command wrote"),
        (b"[1]\n", ["a"], ":1 is not a line that this command wrote"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, texts: list[str], says: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentsError) as caught:
        records.check_same(path, records.take_up(path), KIND, iter(texts))
    assert says in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_an_array_has_a_row_a_text_and_nan_for_those_that_failed(tmp_path: Path) -> None:
    rows = np.array([[1, 2], [3, 4]], dtype=np.float32)
    first, last = to_base64(rows)
    lines = tmp_path / "part.jsonl"
    lines.write_bytes(
        line(0, "a", embedding=first)
        + records.line(records.record(1, "m", "b", {"error": "too long"}))
        + line(2, "c", embedding=last)
    )
    records.to_npy(lines, tmp_path / "out.npy", 2, 3)
    array = np.load(tmp_path / "out.npy")
    assert array.dtype == np.float32
    assert array[[0, 2]].tolist() == rows.tolist()
    assert np.isnan(array[1]).all()


def texts(count: int) -> Iterator[str]:
    return (f"text {index}" for index in range(count))


@pytest.mark.anyio
async def test_any_number_of_texts_goes_through_in_order_a_chunk_at_a_time() -> None:
    sut = world()
    written: list[dict[str, Any]] = []
    steps: list[int] = []
    job = bulk.Bulk(sut.embedder, EmbedRequest(texts=()), "float")
    tally = await job.run(texts(1100), records.Done(), written.append, steps.append)
    assert [each["index"] for each in written] == list(range(1100))
    assert np.allclose([each["embedding"] for each in written], expected(*(f"D: {text}" for text in texts(1100))))
    assert steps == [512, 512, 76]
    assert tally.summary()["count"] == 1100
    assert tally.summary()["usage"]["input_tokens"] > 0
    assert tally.sentence() == "1,100 texts, 4 dimensions, first"


@pytest.mark.anyio
async def test_a_text_at_fault_has_an_error_in_its_line_and_the_run_goes_on() -> None:
    async def picky(batch: Batch) -> Answer:
        if any("text 7" in text for text in batch.texts):
            raise TextTooLongError("Too long.")
        return answer(batch)

    written: list[dict[str, Any]] = []
    job = bulk.Bulk(world(a=FakeBackend(picky)).embedder, EmbedRequest(texts=()), "base64")
    tally = await job.run(texts(9), records.Done(), written.append, lambda _: None)
    assert [("error" in each, "embedding" in each) for each in written].count((True, False)) == 1
    assert "characters" in written[7]["error"]
    assert json.dumps(written)
    assert tally.failed == 1
    assert tally.sentence() == "9 texts, 1 of them failed, 4 dimensions, first"


@pytest.mark.anyio
async def test_a_run_goes_on_after_what_is_done() -> None:
    written: list[dict[str, Any]] = []
    job = bulk.Bulk(world().embedder, EmbedRequest(texts=()), "float")
    done = records.Done(texts=("x", "y"), failed=1)
    tally = await job.run(iter(["c"]), done, written.append, lambda _: None)
    assert [each["index"] for each in written] == [2]
    assert (tally.texts, tally.failed) == (3, 1)


@pytest.mark.anyio
async def test_a_backend_that_is_down_ends_the_run() -> None:
    down = FakeBackend(failing(UnreachableError("down. Start it.")))
    job = bulk.Bulk(world(a=down, b=down).embedder, EmbedRequest(texts=()), "float")
    with pytest.raises(NoRuntimeError):
        await job.run(texts(1), records.Done(), lambda _: None, lambda _: None)
