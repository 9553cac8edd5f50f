"""One batch: the replica that is best now, a fair wait, and what health learns."""

from __future__ import annotations

import anyio
import pytest

from embeddings_mcp.domain import Answer, Batch
from embeddings_mcp.errors import BadVectorError, WrongShapeError
from embeddings_mcp.trail import Trail
from router_mcp.errors import (
    AttemptError,
    ModelMissingError,
    OverloadedError,
    QueueFullError,
    RejectedError,
    ServerFailedError,
    UnauthorizedError,
    UnreachableError,
)
from tests.unit.embeddings.fakes import FakeBackend, World, answer, failing, file, slow, world

pytestmark = pytest.mark.anyio

FIRST, SECOND = "http://127.0.0.1:1", "http://127.0.0.1:2"


def trail() -> Trail:
    return Trail(request_id="id", tenant=None, model="first", started=anyio.current_time(), deadline_s=1000)


def urls(sut: World) -> list[str]:
    return [batch.endpoint.url for batch in sut.a.batches]


def only_at(url: str, error: AttemptError) -> FakeBackend:
    async def reply(batch: Batch) -> Answer:
        if batch.endpoint.url != url:
            raise error
        return answer(batch)

    return FakeBackend(reply)


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("down."),
        ServerFailedError("failed."),
        UnauthorizedError("key."),
        ModelMissingError("model."),
        OverloadedError("full."),
    ],
)
async def test_another_replica_is_asked_when_one_fails(error: AttemptError) -> None:
    sut = world(a=only_at(SECOND, error))
    sent = trail()
    await sut.embedder.dispatch.send("first", ("a",), sent)
    assert urls(sut) == [FIRST, SECOND]
    assert [attempt.outcome for attempt in sent.receipt(anyio.current_time()).attempts] == [error.outcome, "ok"]


@pytest.mark.parametrize("error", [BadVectorError("NaN.", reason="NaN"), RejectedError("no.")])
async def test_another_replica_is_not_asked_for_what_nobody_is_to_blame_for(error: AttemptError) -> None:
    sut = world(a=FakeBackend(failing(error)))
    with pytest.raises(type(error)):
        await sut.embedder.dispatch.send("first", ("a",), trail())
    assert urls(sut) == [FIRST]


async def test_a_replica_that_failed_is_left_alone_while_another_is_well() -> None:
    sut = world(a=only_at(SECOND, UnreachableError("down.")))
    for _ in range(3):
        await sut.embedder.dispatch.send("first", ("a",), trail())
    assert urls(sut) == [FIRST, SECOND, SECOND, SECOND]


async def test_when_no_replica_is_well_one_is_tried_all_the_same() -> None:
    sut = world(a=FakeBackend(failing(UnreachableError("down."))))
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await sut.embedder.dispatch.send("first", ("a",), trail())
    assert len(sut.a.batches) == 4


async def test_batches_go_to_the_replica_with_the_fewest_in_flight() -> None:
    sut = world(a=FakeBackend(slow(1)))
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(sut.embedder.dispatch.send, "first", ("a",), trail())
    assert sorted(urls(sut)) == [FIRST, FIRST, SECOND, SECOND]


async def test_a_full_queue_is_said_at_once() -> None:
    sut = world(file(backends__a__max_queue=0), a=FakeBackend(slow(10)))
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(sut.embedder.dispatch.send, "first", ("a",), trail())
        await anyio.sleep(1)
        with pytest.raises(QueueFullError):
            await sut.embedder.dispatch.send("first", ("a",), trail())


async def test_waiting_for_a_slot_is_in_the_receipt() -> None:
    sut = world(a=FakeBackend(slow(5)))
    waits: list[float] = []

    async def call() -> None:
        sent = trail()
        await sut.embedder.dispatch.send("first", ("a",), sent)
        waits.append(round(sent.queue_wait_s))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
    assert sorted(waits) == [0, 0, 0, 0, 5]


async def test_a_wrong_dimension_is_held_against_the_model_and_not_the_endpoint() -> None:
    sut = world(file(models__other__dimensions=5))
    with pytest.raises(WrongShapeError):
        await sut.embedder.dispatch.send("other", ("a",), trail())
    (endpoint,) = sut.file.endpoints("c")
    now = anyio.current_time()
    assert sut.board.standing(endpoint, "other", now).state == "unhealthy"
    assert sut.board.standing(endpoint, "", now).state == "unknown"


async def test_a_success_makes_an_endpoint_healthy_and_ends_its_trial() -> None:
    sut = world(a=FakeBackend(failing(UnreachableError("down."))))
    with pytest.raises(UnreachableError):
        await sut.embedder.dispatch.send("first", ("a",), trail())
    sut.a.reply = FakeBackend().reply
    await anyio.sleep(10)
    await sut.embedder.dispatch.send("first", ("a",), trail())
    states = [sut.board.standing(each, "first", anyio.current_time()).state for each in sut.file.endpoints("a")]
    assert sorted(states) == ["healthy", "unhealthy"]
    assert all(sut.board.standing(each, "first", anyio.current_time()).open for each in sut.file.endpoints("a"))
