"""Faults: a clear error, or the next backend of the space; a text at fault names itself and costs others nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embeddings_mcp.domain import Answer, Batch, EmbedRequest, RankRequest
from embeddings_mcp.errors import (
    BadItem,
    BadVectorError,
    ItemsError,
    ItemsInvalidError,
    ItemsTooLongError,
    PayloadTooLargeError,
    TextTooLongError,
)
from router_mcp.errors import NoRuntimeError
from tests.unit.embeddings.fakes import FakeBackend, Reply, SilentCutter, answer, expected, file, world

pytestmark = pytest.mark.anyio

ALONE: dict[str, Any] = {"models__first__fallbacks": []}


def changed(change: str) -> Reply:
    """Answer well but for one fault."""

    async def reply(batch: Batch) -> Answer:
        good = answer(batch)
        rows = {
            "one too few": good.vectors[:-1],
            "one too many": np.vstack([good.vectors, good.vectors[:1]]),
            "none": good.vectors[:0],
            "too short": good.vectors[:, :3],
            "too long": np.hstack([good.vectors, good.vectors]),
            "NaN": np.full_like(good.vectors, np.nan),
            "zero": np.zeros_like(good.vectors),
        }[change]
        return Answer(vectors=rows)

    return reply


def too_long_above(characters: int, *, tells: bool = False, cuts: bool = True) -> Reply:
    """Refuse a batch for a text that is too long; `tells` says whether it knows which."""

    async def reply(batch: Batch) -> Answer:
        long = {place: len(text) for place, text in enumerate(batch.texts) if len(text) > characters}
        if long and not (batch.truncate and cuts):
            raise TextTooLongError("Too long.", tokens={**long} if tells else None)
        return answer(batch)

    return reply


def unusable_for(word: str) -> Reply:
    async def reply(batch: Batch) -> Answer:
        good = answer(batch)
        for place, text in enumerate(batch.texts):
            if word in text:
                good.vectors[place] = np.nan
        return good

    return reply


@pytest.mark.parametrize("change", ["one too few", "one too many", "none", "too short", "too long", "NaN", "zero"])
async def test_an_answer_of_the_wrong_shape_goes_to_the_next_backend_of_the_space(change: str) -> None:
    sut = world(a=FakeBackend(changed(change)))
    result = await sut.embedder.embed(EmbedRequest(texts=("a", "b", "c")))
    assert result.model == "second"
    assert np.allclose(result.vectors, expected("D: a", "D: b", "D: c"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("one too few", "answered 1 vectors to 2 texts"),
        ("too short", "makes vectors of 3 dimensions, not 4"),
        ("too long", "Correct dimensions or served_name"),
    ],
)
async def test_without_a_next_backend_the_error_says_what_was_wrong(change: str, says: str) -> None:
    sut = world(file(**ALONE), a=FakeBackend(changed(change)))
    with pytest.raises(NoRuntimeError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a", "b")))
    assert says in str(caught.value)


async def test_a_text_without_a_usable_vector_is_named_and_the_others_are_kept() -> None:
    sut = world(file(**ALONE), a=FakeBackend(unusable_for("bad")))
    with pytest.raises(ItemsInvalidError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a", "bad one", "c", "bad one")))
    error = caught.value
    assert [item.index for item in error.items] == [1, 3]
    assert "texts[1] (its vector is zero or not finite), texts[3]" in str(error)
    assert error.partial is not None
    assert error.partial.indices == (0, 2)
    assert np.allclose(error.partial.vectors, expected("D: a", "D: c"))


async def test_only_the_bad_text_is_sent_again() -> None:
    sut = world(file(**ALONE), a=FakeBackend(unusable_for("bad")))
    with pytest.raises(ItemsInvalidError):
        await sut.embedder.embed(EmbedRequest(texts=("a", "bad", "c")))
    assert sorted(sut.a.sizes) == [1, 3]
    assert sut.a.texts.count("D: a") == 1


async def test_a_vector_that_was_bad_once_is_taken_when_it_is_good_alone() -> None:
    async def bad_in_company(batch: Batch) -> Answer:
        return await (unusable_for("b") if len(batch.texts) > 1 else unusable_for("never"))(batch)

    sut = world(a=FakeBackend(bad_in_company))
    result = await sut.embedder.embed(EmbedRequest(texts=("a", "b", "c")))
    assert result.model == "first"
    assert np.allclose(result.vectors, expected("D: a", "D: b", "D: c"))


async def test_a_backend_that_fails_a_whole_batch_for_one_text_is_asked_in_halves() -> None:
    async def fails(batch: Batch) -> Answer:
        if any("bad" in text for text in batch.texts):
            raise BadVectorError("NaN.", reason="the model computes NaN for it")
        return answer(batch)

    sut = world(file(**ALONE), a=FakeBackend(fails))
    asked = tuple("bad" if index == 11 else f"t{index}" for index in range(16))
    with pytest.raises(ItemsInvalidError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=asked))
    assert caught.value.items == (BadItem(index=11, reason="the model computes NaN for it"),)
    assert caught.value.partial is not None
    assert caught.value.partial.indices == tuple(index for index in range(16) if index != 11)


async def test_a_text_that_one_model_cannot_embed_is_given_to_the_next_of_the_space() -> None:
    sut = world(a=FakeBackend(unusable_for("bad")))
    result = await sut.embedder.embed(EmbedRequest(texts=("a", "bad")))
    assert (result.model, len(sut.b.texts)) == ("second", 2)


@pytest.mark.parametrize("tells", [True, False])
async def test_texts_that_are_too_long_are_all_named_with_index_and_length(tells: bool) -> None:
    sut = world(a=FakeBackend(too_long_above(60, tells=tells)))
    asked = ("short", "long " * 14, "also short", "longer " * 12)
    with pytest.raises(ItemsTooLongError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=asked))
    assert [item.index for item in caught.value.items] == [1, 3]
    assert "texts[1] (70 characters" in str(caught.value)
    assert ("73 tokens or more" in str(caught.value)) == tells
    assert "longer than the 100 tokens that first takes" in str(caught.value)
    assert "truncate: true" in str(caught.value)
    assert caught.value.partial is not None
    assert caught.value.partial.indices == (0, 2)
    assert not sut.b.batches


async def test_a_text_that_is_surely_too_long_is_refused_without_being_sent() -> None:
    sut = world()
    with pytest.raises(ItemsTooLongError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("short", "one two " * 100)))
    assert caught.value.items == (BadItem(index=1, reason="800 characters, 200 tokens or more", tokens=200),)
    assert sut.a.texts == ["D: short"]


@pytest.mark.parametrize("tells", [True, False])
async def test_texts_that_are_too_long_are_cut_and_reported_when_the_caller_allows_it(tells: bool) -> None:
    sut = world(a=FakeBackend(too_long_above(60, tells=tells)))
    asked = ("short", "long " * 14, "one two " * 100, "long " * 14)
    result = await sut.embedder.embed(EmbedRequest(texts=asked, truncate=True))
    assert result.truncated == (1, 2, 3)
    assert np.allclose(result.vectors, expected(*(f"D: {text}" for text in asked)))
    assert all(len(batch.texts) == 1 for batch in sut.a.batches if batch.truncate)


async def test_a_text_that_cannot_even_be_cut_is_an_error() -> None:
    sut = world(a=FakeBackend(too_long_above(60, cuts=False)))
    with pytest.raises(ItemsTooLongError):
        await sut.embedder.embed(EmbedRequest(texts=("long " * 14,), truncate=True))


async def test_a_cut_text_without_a_usable_vector_is_an_error() -> None:
    async def zeros_when_cut(batch: Batch) -> Answer:  # what Ollama was seen to do with some models
        good = await too_long_above(60)(batch)
        return Answer(vectors=np.zeros_like(good.vectors)) if batch.truncate else good

    sut = world(file(**ALONE), a=FakeBackend(zeros_when_cut))
    with pytest.raises(ItemsInvalidError):
        await sut.embedder.embed(EmbedRequest(texts=("long " * 14,), truncate=True))


async def test_a_cut_text_is_not_remembered() -> None:
    sut = world(file(cache__tenants=["*"]), a=FakeBackend(too_long_above(60)))
    await sut.embedder.embed(EmbedRequest(texts=("long " * 14,), truncate=True))
    assert sut.cache.size == 0


async def test_vectors_that_were_made_beside_a_bad_text_are_remembered_for_the_next_try() -> None:
    sut = world(file(cache__tenants=["*"], **ALONE), a=FakeBackend(too_long_above(60)))
    with pytest.raises(ItemsTooLongError):
        await sut.embedder.embed(EmbedRequest(texts=("a", "b", "long " * 14)))
    sut.a.batches.clear()
    await sut.embedder.embed(EmbedRequest(texts=("a", "b", "shorter")))
    assert sut.a.texts == ["D: shorter"]


async def test_a_batch_that_is_too_large_for_the_backend_is_split() -> None:
    async def small_batches_only(batch: Batch) -> Answer:
        if len(batch.texts) > 3:
            raise PayloadTooLargeError("Too many.")
        return answer(batch)

    sut = world(a=FakeBackend(small_batches_only))
    asked = tuple(f"t{index}" for index in range(30))
    result = await sut.embedder.embed(EmbedRequest(texts=asked))
    assert result.model == "first"
    assert np.allclose(result.vectors, expected(*(f"D: {text}" for text in asked)))


async def test_a_lone_text_that_is_too_large_is_named() -> None:
    async def nothing(batch: Batch) -> Answer:
        raise PayloadTooLargeError("Too large.")

    with pytest.raises(ItemsTooLongError) as caught:
        await world(a=FakeBackend(nothing)).embedder.embed(EmbedRequest(texts=("a", "b")))
    assert [item.index for item in caught.value.items] == [0, 1]


async def test_a_text_that_a_backend_may_cut_in_silence_is_sent_alone() -> None:
    sut = world(b=SilentCutter())
    long = "x" * 250  # at two bytes a token this may exceed 100 tokens, so it must be alone to be judged
    await sut.embedder.embed(EmbedRequest(texts=("a", long, "b"), model="second"))
    assert [batch.texts for batch in sut.b.batches] == [(f"D: {long}",), ("D: a", "D: b")]


async def test_many_bad_texts_are_counted_in_the_message_and_all_listed_in_the_error() -> None:
    sut = world(a=FakeBackend(too_long_above(10)))
    with pytest.raises(ItemsTooLongError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=tuple(f"long text {index}" for index in range(40))))
    assert len(caught.value.items) == 40
    assert "and 35 more" in str(caught.value)
    assert caught.value.receipt is not None
    assert len(caught.value.receipt.attempts) <= 21


async def test_partial_vectors_have_the_length_that_was_asked_for() -> None:
    sut = world(a=FakeBackend(too_long_above(60)))
    with pytest.raises(ItemsError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a", "long " * 14), dimensions=2))
    assert caught.value.partial is not None
    assert caught.value.partial.vectors.shape == (1, 2)


async def test_a_ranking_names_its_query_or_the_index_of_a_text() -> None:
    sut = world(a=FakeBackend(too_long_above(60)))
    with pytest.raises(ItemsTooLongError) as caught:
        await sut.embedder.rank(RankRequest(query="long " * 14, texts=("a", "longer " * 12)))
    assert [(item.index, item.name) for item in caught.value.items] == [(None, "query"), (1, "texts[1]")]
    assert str(caught.value).startswith("query (70 characters), texts[1] (84 characters): longer than")
    assert caught.value.partial is not None
    assert caught.value.partial.indices == (0,)


async def test_a_ranking_reports_what_was_cut_by_the_callers_index() -> None:
    sut = world(a=FakeBackend(too_long_above(60)))
    request = RankRequest(query="long " * 14, texts=("a", "longer " * 12), truncate=True)
    result = await sut.embedder.rank(request)
    assert (result.truncated, result.query_truncated) == ((1,), True)
