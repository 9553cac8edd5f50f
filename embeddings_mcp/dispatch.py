"""One batch on its way: the replica to use, a slot on it, the answer's shape, and what health learns from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from embeddings_mcp.backends.base import Backend
from embeddings_mcp.config.file import EmbeddingsFile
from embeddings_mcp.domain import Answer, Batch
from embeddings_mcp.errors import WrongShapeError
from embeddings_mcp.telemetry.base import BatchEnded, BatchStarted, Telemetry
from embeddings_mcp.trail import Trail
from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.domain import Endpoint
from router_mcp.errors import AttemptError, OutOfTimeError, OverloadedError, StalledError
from router_mcp.health import WELL, Standing

REPLICA_TRIES = 3
"""Replicas that one batch may try before it fails."""
FAIR = 0.5
"""Part of `timeouts.batch` that a batch must have had before its silence is held against the backend."""
ELSEWHERE = frozenset({"endpoint", "model", "configuration"})
"""Blame that another replica need not share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Sends single batches. Its parts are shared by all calls."""

    file: EmbeddingsFile
    backends: Mapping[str, Backend]
    board: HealthBoard
    book: AdmissionBook
    telemetry: Telemetry
    clock: Callable[[], float]

    async def send(self, model: str, texts: tuple[str, ...], trail: Trail, *, truncate: bool = False) -> Answer:
        """Return the vectors of texts that already have their prefixes, from one replica or another.

        The answer has a vector of the model's dimensions for every text. Raises `AttemptError`.
        """
        left = list(self.file.endpoints(self.file.models[model].backend))
        for tries in range(min(REPLICA_TRIES, len(left)), 0, -1):
            group = best(left, lambda each: self.board.standing(each, model, self.clock()))
            endpoint = await self._acquire(model, group, trail)
            with self.book.held(endpoint):
                try:
                    limit_s = min(self.file.timeouts.batch, trail.share_s(self.clock(), tries))
                    return await self._ask(endpoint, model, texts, trail, limit_s=limit_s, truncate=truncate)
                except AttemptError as error:
                    left.remove(endpoint)
                    if tries == 1 or not (error.blames in ELSEWHERE or isinstance(error, OverloadedError)):
                        raise
        raise AssertionError("the last try returns or raises")

    async def _acquire(self, model: str, group: Sequence[Endpoint], trail: Trail) -> Endpoint:
        since = self.clock()
        free_first = sorted(group, key=self.book.running)
        endpoint = await self.book.acquire(self.file.models[model].backend, free_first, trail.tenant)
        trail.queue_wait_s += self.clock() - since
        return endpoint

    async def _ask(
        self, endpoint: Endpoint, model: str, texts: tuple[str, ...], trail: Trail, *, limit_s: float, truncate: bool
    ) -> Answer:
        name, begun = self.file.served_name(model), self.clock()
        trials = self.board.begin(endpoint, model, begun)
        kind = self.file.backend_of(model).kind
        started = BatchStarted(
            request_id=trail.request_id, model=model, served_name=name, kind=kind, endpoint=endpoint, texts=len(texts)
        )
        batch = Batch(
            endpoint=endpoint,
            model=name,
            texts=texts,
            max_input_tokens=self.file.models[model].max_input_tokens,
            truncate=truncate,
            request_id=trail.request_id,
            traceparent=self.telemetry.started(started) or trail.traceparent,
        )
        answer: Answer | None = None
        failure: AttemptError | None = None
        try:
            answer = await self._answer(batch, model, limit_s)
        except AttemptError as error:
            failure = error
            self.board.failed(endpoint, model, error, self.clock())
            trail.failure(model, endpoint, self.clock() - begun, error)
            raise
        finally:
            self.board.settle(trials)
            tokens = answer.input_tokens if answer else 0
            seconds = self.clock() - begun
            self.telemetry.tell(
                BatchEnded(started=started, seconds=seconds, served=bool(answer), input_tokens=tokens, error=failure)
            )
        self.board.succeeded(endpoint, model, self.clock(), begun=begun)
        trail.served(model, endpoint, self.clock() - begun, answer.input_tokens)
        return answer

    async def _answer(self, batch: Batch, model: str, limit_s: float) -> Answer:
        with anyio.move_on_after(limit_s):
            answer = await self.backends[batch.endpoint.runtime].embed(batch)
            check_shape(answer, batch, self.file.models[model].dimensions)
            return answer
        silent = f"{batch.endpoint} did not answer in {limit_s:.3g} s."
        if limit_s < self.file.timeouts.batch * FAIR:
            raise OutOfTimeError(f"{silent} Send fewer texts in one call, or raise timeouts.call.")
        raise StalledError(f"{silent} Look at its load, or lower batch_size.")


def best(endpoints: Sequence[Endpoint], standing: Callable[[Endpoint], Standing]) -> list[Endpoint]:
    """Return the replicas that are equally the best to use now: well ones, else those that may be tried, else all."""
    standings = {endpoint: standing(endpoint) for endpoint in endpoints}
    well = [each for each, how in standings.items() if how.state in WELL and not how.waiting_s]
    return well or [each for each, how in standings.items() if how.open and not how.waiting_s] or list(endpoints)


def check_shape(answer: Answer, batch: Batch, dimensions: int) -> None:
    """Raise `WrongShapeError` unless there is one vector of the model's dimensions for every text."""
    count, length = answer.vectors.shape
    if count != len(batch.texts):
        message = f"{batch.endpoint} answered {count} vectors to {len(batch.texts)} texts. Look at its log."
        raise WrongShapeError(message)
    if length != dimensions:
        message = f"{batch.model} on {batch.endpoint} makes vectors of {length} dimensions, not {dimensions}."
        raise WrongShapeError(f"{message} Correct dimensions or served_name in the configuration.")
