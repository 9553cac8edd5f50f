"""The story of a call: order, one model a result, fallback within a space, deadline, receipt."""

from __future__ import annotations

import anyio
import numpy as np
import pytest

from embeddings_mcp.domain import Answer, Batch, EmbedRequest, RankRequest
from embeddings_mcp.telemetry.base import BatchEnded, CallEnded, FellBack
from router_mcp.errors import (
    BusyError,
    DeadlineError,
    InvalidArgumentsError,
    NoRuntimeError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnauthorizedError,
    UnreachableError,
)
from tests.unit.embeddings.fakes import FakeBackend, answer, expected, failing, file, slow, vector, world

pytestmark = pytest.mark.anyio

DOWN = UnreachableError("a is down. Start it.")


def texts(count: int) -> tuple[str, ...]:
    return tuple(f"text number {index}" for index in range(count))


async def test_vectors_come_back_in_the_order_of_the_texts_normalised_and_with_prefixes() -> None:
    sut = world()
    asked = texts(300)
    result = await sut.embedder.embed(EmbedRequest(texts=asked))
    assert np.allclose(result.vectors, expected(*(f"D: {text}" for text in asked)), atol=1e-6)
    assert (result.model, result.dimensions, result.fallback_from, result.truncated) == ("first", 4, (), ())
    assert result.usage.input_tokens == sum(len(f"D: {text}") for text in asked)
    assert max(sut.a.sizes) <= 64


async def test_order_holds_however_batches_overtake_each_other() -> None:
    async def jumbled(batch: Batch) -> Answer:
        await anyio.sleep(hash(batch.texts) % 7)
        return answer(batch)

    sut = world(file(models__first__batch_size=3, models__second__batch_size=3), a=FakeBackend(jumbled))
    asked = texts(50)
    result = await sut.embedder.embed(EmbedRequest(texts=asked))
    assert np.allclose(result.vectors, expected(*(f"D: {text}" for text in asked)), atol=1e-6)


async def test_queries_have_the_prefix_of_queries() -> None:
    sut = world()
    await sut.embedder.embed(EmbedRequest(texts=("a",), input_type="query"))
    assert sut.a.texts == ["Q: a"]


async def test_vectors_stay_as_they_are_where_the_model_is_not_to_be_normalised() -> None:
    sut = world(file(models__other__normalize=False))
    result = await sut.embedder.embed(EmbedRequest(texts=("a",), model="other"))
    assert result.vectors.tolist() == [vector("a")]


async def test_equal_texts_are_sent_once() -> None:
    sut = world()
    result = await sut.embedder.embed(EmbedRequest(texts=("a", "b", "a", "a")))
    assert sorted(sut.a.texts) == ["D: a", "D: b"]
    assert np.array_equal(result.vectors[0], result.vectors[2])
    assert result.vectors.shape == (4, 4)


async def test_shorter_vectors_are_cut_and_have_length_one_again() -> None:
    sut = world()
    result = await sut.embedder.embed(EmbedRequest(texts=("a",), dimensions=2))
    first = np.array(vector("D: a")[:2])
    assert np.allclose(result.vectors, [first / np.linalg.norm(first)])
    assert result.dimensions == 2


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (EmbedRequest(texts=()), "There are 0 texts"),
        (EmbedRequest(texts=("a",) * 2049), "There are 2049 texts"),
        (EmbedRequest(texts=("a", "")), "texts[1] is empty"),
        (EmbedRequest(texts=("a", " \n")), "texts[1] is empty"),
        (EmbedRequest(texts=("a", "\ud800")), "texts[1] holds half of a surrogate pair"),
        (EmbedRequest(texts=("a",), model="frist"), "Did you mean 'first'?"),
        (EmbedRequest(texts=("a",), dimensions=3), "first was not trained for 3 dimensions"),
        (EmbedRequest(texts=("a",), model="other", dimensions=2), "Ask for 4."),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_sent(request_: EmbedRequest, says: str) -> None:
    sut = world()
    with pytest.raises(InvalidArgumentsError) as caught:
        await sut.embedder.embed(request_)
    assert says in str(caught.value)
    assert not sut.a.batches
    assert sut.ear.heard(CallEnded)[0].outcome == "invalid_arguments"


@pytest.mark.parametrize("error", [DOWN, ServerFailedError("failed."), UnauthorizedError("no key.")])
async def test_the_next_model_of_the_space_serves_when_the_first_cannot(error: UnreachableError) -> None:
    sut = world(a=FakeBackend(failing(error)))
    result = await sut.embedder.embed(EmbedRequest(texts=("a", "b")))
    assert (result.model, result.fallback_from) == ("second", ("first",))
    assert np.allclose(result.vectors, expected("D: a", "D: b"))
    assert [attempt.outcome for attempt in result.receipt.attempts] == [error.outcome, error.outcome, "ok"]
    assert sut.ear.heard(FellBack) == [FellBack(model="first", to="second", reason=error.outcome)]


async def test_a_fallback_never_mixes_vectors_of_two_models() -> None:
    async def breaks_down(batch: Batch) -> Answer:
        if len(sut.a.batches) > 2:
            raise DOWN
        return answer(batch)

    sut = world(file(models__first__batch_size=2), a=FakeBackend(breaks_down))
    asked = texts(20)
    result = await sut.embedder.embed(EmbedRequest(texts=asked))
    assert result.model == "second"
    assert sorted(sut.b.texts) == sorted(f"D: {text}" for text in asked)
    assert result.usage.input_tokens == sum(len(f"D: {text}") for text in asked)


async def test_a_model_of_another_space_is_never_a_fallback_but_is_named() -> None:
    sut = world(a=FakeBackend(failing(DOWN)), b=FakeBackend(failing(DOWN)))
    with pytest.raises(NoRuntimeError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert not sut.c.batches
    assert "first: a is down. Start it. second: a is down. Start it." in str(caught.value)
    assert "Or ask for model 'other', which needs no server" in str(caught.value)
    assert caught.value.receipt is not None
    assert {attempt.model for attempt in caught.value.receipt.attempts} == {"first", "second"}


async def test_a_model_without_fallback_fails_alone() -> None:
    sut = world(c=FakeBackend(failing(DOWN)))
    with pytest.raises(NoRuntimeError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a",), model="other"))
    assert "needs no server" not in str(caught.value)


async def test_a_refused_request_is_not_tried_elsewhere() -> None:
    sut = world(a=FakeBackend(failing(RejectedError("a refused the request. Change it."))))
    with pytest.raises(RejectedError):
        await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert not sut.b.batches


async def test_when_everyone_is_full_the_caller_is_told_when_to_come_again() -> None:
    full = FakeBackend(failing(OverloadedError("Full.", retry_after_s=7)))
    sut = world(a=full, b=FakeBackend(failing(OverloadedError("Full, too.", retry_after_s=3))))
    with pytest.raises(BusyError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert caught.value.retry_after_s == 3


async def test_a_backend_that_is_known_to_be_down_is_tried_last() -> None:
    sut = world(a=FakeBackend(failing(DOWN)))
    await sut.embedder.embed(EmbedRequest(texts=("a",)))
    sut.a.batches.clear()
    result = await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert (result.model, result.fallback_from, sut.a.batches) == ("second", ("first",), [])


async def test_a_slow_backend_is_given_up_for_the_next_of_its_space() -> None:
    sut = world(a=FakeBackend(slow(1000)))
    result = await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert result.model == "second"
    assert [attempt.outcome for attempt in result.receipt.attempts] == ["stalled", "stalled", "ok"]
    assert [round(attempt.seconds) for attempt in result.receipt.attempts] == [40, 40, 0]  # 120 s for three tries


async def test_a_backend_that_had_too_little_time_is_not_blamed_for_it() -> None:
    sut = world(file(timeouts__call=9), a=FakeBackend(slow(1000)), b=FakeBackend(slow(1000)))
    with pytest.raises(DeadlineError):
        await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert {event.error.outcome for event in sut.ear.heard(BatchEnded) if event.error} == {"out_of_time"}
    assert sut.embedder.cards()[0].state == "unknown"


async def test_the_deadline_ends_a_call_and_says_how_far_it_came() -> None:
    sut = world(file(models__first__batch_size=1, timeouts__call=10), a=FakeBackend(slow(3)))
    with pytest.raises(DeadlineError) as caught:
        await sut.embedder.embed(EmbedRequest(texts=texts(100)))
    assert "deadline of 10 s struck when 12 of 100 texts were done" in str(caught.value)
    assert sut.a.running == 0
    assert sut.book.running(sut.file.endpoints("a")[0]) == 0


async def test_a_call_that_is_cancelled_stops_its_batches_and_says_so_to_whoever_watches() -> None:
    sut = world(a=FakeBackend(slow(1000)))
    with anyio.move_on_after(5):
        await sut.embedder.embed(EmbedRequest(texts=("a",)))
    assert sut.a.running == 0
    assert sut.ear.heard(CallEnded)[0].outcome == "cancelled"
    assert [(event.served, event.error) for event in sut.ear.heard(BatchEnded)] == [(False, None)]


async def test_no_more_batches_run_at_once_than_the_backend_takes() -> None:
    sut = world(file(models__first__batch_size=1), a=FakeBackend(slow(1)))
    await sut.embedder.embed(EmbedRequest(texts=texts(20)))
    assert sut.a.most == 4  # two endpoints, two batches each


async def test_a_small_call_is_served_between_the_batches_of_a_large_one() -> None:
    sut = world(file(models__first__batch_size=1), a=FakeBackend(slow(1)))
    finished: list[tuple[str, float]] = []

    async def call(name: str, count: int) -> None:
        await sut.embedder.embed(EmbedRequest(texts=texts(count), tenant=name))
        finished.append((name, anyio.current_time()))

    async with anyio.create_task_group() as group:
        group.start_soon(call, "large", 100)
        await anyio.sleep(2.5)
        begun = anyio.current_time()
        await call("small", 1)
    assert [name for name, _ in finished] == ["small", "large"]
    assert finished[0][1] - begun < 2  # the rest of one batch, and its own


async def test_progress_counts_distinct_texts_and_ends_complete() -> None:
    sut = world(file(models__first__batch_size=10))
    heard: list[tuple[int, int]] = []
    await sut.embedder.embed(EmbedRequest(texts=(*texts(35), "text number 0")), lambda *said: heard.append(said))
    assert heard[-1] == (35, 35)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


async def test_remembered_texts_are_not_sent_again() -> None:
    sut = world(file(cache__tenants=["acme"]))
    first = await sut.embedder.embed(EmbedRequest(texts=("a", "b"), tenant="acme"))
    again = await sut.embedder.embed(EmbedRequest(texts=("b", "c", "a"), tenant="acme"))
    assert sut.a.texts == ["D: a", "D: b", "D: c"]
    assert np.array_equal(again.vectors[[2, 0]], first.vectors)
    assert again.usage.input_tokens == len("D: c")
    assert again.receipt.notes == ("2 texts were remembered and not sent.",)
    await sut.embedder.embed(EmbedRequest(texts=("a",), tenant="other"))
    assert sut.a.texts[-1] == "D: a"


async def test_a_call_of_remembered_texts_alone_asks_nobody() -> None:
    sut = world(file(cache__tenants=["*"]))
    await sut.embedder.embed(EmbedRequest(texts=("a",)))
    sut.a.reply = failing(DOWN)
    result = await sut.embedder.embed(EmbedRequest(texts=("a",), dimensions=2))
    assert (result.model, result.vectors.shape) == ("first", (1, 2))


async def test_a_ranking_asks_once_with_each_prefix_and_puts_the_best_first() -> None:
    directions = {"Q: apple": [1, 0, 0, 0], "D: pear": [3, 1, 0, 0], "D: car": [0, 2, 0, 0], "D: apple": [9, 0, 0, 0]}

    async def looked_up(batch: Batch) -> Answer:
        return Answer(vectors=np.array([directions[text] for text in batch.texts], dtype=np.float32), input_tokens=1)

    sut = world(a=FakeBackend(looked_up))
    result = await sut.embedder.rank(RankRequest(query="apple", texts=("car", "pear", "apple", "pear"), top_k=3))
    assert [each.index for each in result.results] == [2, 1, 3]
    assert result.results[0].score == pytest.approx(1.0)
    assert sut.a.sizes == [4]
    assert sut.ear.heard(CallEnded)[0].operation == "rank"


async def test_a_ranking_falls_back_as_a_whole() -> None:
    sut = world(a=FakeBackend(failing(DOWN)))
    result = await sut.embedder.rank(RankRequest(query="a", texts=("b",)))
    assert (result.model, result.fallback_from, len(sut.b.texts)) == ("second", ("first",), 2)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (RankRequest(query=" ", texts=("a",)), "query is empty"),
        (RankRequest(query="a", texts=("a", "")), "texts[1] is empty"),
        (RankRequest(query="a", texts=("a",), top_k=0), "top_k is 0"),
    ],
)
async def test_a_ranking_that_makes_no_sense_is_refused(request_: RankRequest, says: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        await world().embedder.rank(request_)
    assert says in str(caught.value)


async def test_the_receipt_tells_trace_deadline_and_batches() -> None:
    sut = world(file(models__first__batch_size=1))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    result = await sut.embedder.embed(EmbedRequest(texts=texts(4), traceparent=trace))
    receipt = result.receipt
    assert (receipt.request_id, receipt.task, receipt.deadline_s) == ("id", "embedding", 120)
    assert receipt.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert sum(int((each.detail or "1").split()[0]) for each in receipt.attempts) == 4
    assert {batch.traceparent for batch in sut.a.batches} == {trace}
    assert {batch.request_id for batch in sut.a.batches} == {"id"}


async def test_the_span_of_a_batch_is_what_the_backend_sees_as_its_parent() -> None:
    sut = world()
    sut.ear.traceparent = "00-span"
    await sut.embedder.embed(EmbedRequest(texts=("a",), traceparent="not a trace"))
    assert sut.a.batches[0].traceparent == "00-span"


async def test_whoever_watches_hears_of_every_call() -> None:
    sut = world()
    await sut.embedder.embed(EmbedRequest(texts=("a", "a")))
    (ended,) = sut.ear.heard(CallEnded)
    assert (ended.operation, ended.model, ended.outcome, ended.texts) == ("embed", "first", "ok", 2)
    assert ended.input_tokens == len("D: a")
