"""The life of a request: check → dedupe → gather from a model, or from the next of its space → finish → answer.

`Embedder._serve` is the only fallback loop. It takes a whole result from one model: a fallback starts anew, so that
no result ever mixes vectors of two models. The embedder starts no tasks that outlive a call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from embeddings_mcp import catalog, verdict
from embeddings_mcp.batching import unique
from embeddings_mcp.cache import VectorCache
from embeddings_mcp.dispatch import Dispatch
from embeddings_mcp.domain import EmbedRequest, EmbedResult, ModelCard, Progress, RankRequest, RankResult, Vectors
from embeddings_mcp.errors import ItemsError, Partial
from embeddings_mcp.request import Ask, ask_to_embed, ask_to_rank, candidates
from embeddings_mcp.telemetry.base import CallEnded, FellBack, Operation
from embeddings_mcp.trail import Trail
from router_mcp.domain import Endpoint, State, Usage
from router_mcp.errors import AttemptError, OutOfTimeError, RouterError
from router_mcp.health import Standing

if TYPE_CHECKING:
    from embeddings_mcp.gathering import Gathering

Places = tuple[int, ...]


def unheard(done: int, count: int) -> None:
    """Take progress that nobody waits for."""


class Embedder:
    """Embeds and ranks texts by configuration. Make one with `embeddings_mcp.wiring.open_embedder`."""

    def __init__(self, *, dispatch: Dispatch, cache: VectorCache, new_id: Callable[[], str]) -> None:
        self.file = dispatch.file
        self.dispatch = dispatch
        self._cache = cache
        self._clock = dispatch.clock
        self._new_id = new_id

    async def embed(self, request: EmbedRequest, progress: Progress = unheard) -> EmbedResult:
        """Return one vector a text, in the order of the texts, all from one model.

        Raises `RouterError`. An `ItemsError` names the texts at fault, and its `partial` has the vectors of all
        others. `progress` is told distinct texts, for equal ones are sent once.
        """
        with self._told("embed", request) as trail:
            ask = ask_to_embed(self.file, request)
            gathering, places = await self._serve(ask, trail, progress)
            return EmbedResult(
                model=gathering.model,
                dimensions=ask.dimensions,
                vectors=_finished(gathering.rows, ask)[list(places)],
                usage=Usage(input_tokens=trail.input_tokens),
                truncated=tuple(index for index, place in enumerate(places) if place in gathering.truncated),
                fallback_from=self._passed_over(ask.model, gathering.model),
                receipt=trail.receipt(self._clock()),
            )

    async def rank(self, request: RankRequest, progress: Progress = unheard) -> RankResult:
        """Return texts in order of their likeness to the query, best first. Raises as `embed` does."""
        from embeddings_mcp.vectors import ranked  # noqa: PLC0415 - numpy, which no start needs

        with self._told("rank", request) as trail:
            ask = ask_to_rank(self.file, request)
            gathering, places = await self._serve(ask, trail, progress)
            rows = gathering.rows[list(places)]
            cut = [index for index, place in enumerate(places) if place in gathering.truncated]
            return RankResult(
                model=gathering.model,
                results=ranked(rows[:1], rows[1:], request.top_k),
                usage=Usage(input_tokens=trail.input_tokens),
                truncated=tuple(index - 1 for index in cut if index),
                query_truncated=0 in cut,
                fallback_from=self._passed_over(ask.model, gathering.model),
                receipt=trail.receipt(self._clock()),
            )

    def cards(self) -> tuple[ModelCard, ...]:
        """Describe every model and how it stands now, without asking any backend."""
        return catalog.cards(self.file, self._standing)

    def endpoint_cards(self) -> tuple[catalog.EndpointCard, ...]:
        """Describe every endpoint and how it stands now, without asking any."""
        return catalog.endpoint_cards(self.file, self.dispatch.board, self.dispatch.book, self._clock())

    async def _serve(self, ask: Ask, trail: Trail, progress: Progress) -> tuple[Gathering, Places]:
        """Gather from the first model of the space that can serve; return with it each item's place in its rows."""
        distinct, places = unique(ask.items)
        from embeddings_mcp.gathering import Gathering  # noqa: PLC0415 - numpy, which no start needs

        gathering: Gathering | None = None
        failures: list[tuple[str, AttemptError]] = []
        with anyio.move_on_after(trail.deadline_s):
            chain = candidates(self.file, ask.model, self._states)
            for left, model in zip(range(len(chain) - 1, -1, -1), chain, strict=True):
                trail.turn_to(model, left)
                self._tell_of_fallback(model, failures)
                gathering = Gathering(
                    dispatch=self.dispatch,
                    cache=self._cache,
                    model=model,
                    items=distinct,
                    truncate=ask.truncate,
                    trail=trail,
                    progress=progress,
                )
                try:
                    await gathering.run()
                except AttemptError as failure:
                    failures.append((model, failure))
                    if failure.try_next:
                        continue
                    break
                if not gathering.too_long:
                    return gathering, places
                break
            if error := self._items_error(ask, gathering, places):
                raise error
            if not isinstance(failures[-1][1], OutOfTimeError):
                raise verdict.no_backend(self.file, failures)
        raise verdict.out_of_time(trail.deadline_s, trail.done, len(distinct))

    def _tell_of_fallback(self, model: str, failures: list[tuple[str, AttemptError]]) -> None:
        if failures:
            last, error = failures[-1]
            self.dispatch.telemetry.tell(FellBack(model=last, to=model, reason=error.outcome))

    def _items_error(self, ask: Ask, gathering: Gathering | None, places: Places) -> ItemsError | None:
        """Say which texts are at fault, when it is texts; the error keeps the vectors of all others."""
        if gathering is None or not (gathering.too_long or gathering.bad):
            return None
        model = gathering.model
        if gathering.too_long:
            limit = self.file.models[model].max_input_tokens
            long = gathering.too_long
            error: ItemsError = verdict.too_long(
                [
                    (ask.index(each), ask.items[each].text, long[place])
                    for each, place in enumerate(places)
                    if place in long
                ],
                model,
                limit,
            )
        else:
            bad = gathering.bad
            error = verdict.unusable(
                [(ask.index(each), bad[place]) for each, place in enumerate(places) if place in bad], model
            )
        good = [each for each, place in enumerate(places) if gathering.is_done(place)]
        error.partial = Partial(
            model=model,
            indices=tuple(index for each in good if (index := ask.index(each)) is not None),
            vectors=_finished(gathering.rows, ask)[[places[each] for each in good if ask.index(each) is not None]],
        )
        return error

    @contextmanager
    def _told(self, operation: Operation, request: EmbedRequest | RankRequest) -> Generator[Trail]:
        """Follow one call: its errors get a receipt, and whoever watches hears how it ended."""
        trail = Trail(
            request_id=self._new_id(),
            tenant=request.tenant,
            model=request.model if request.model in self.file.models else self.file.defaults.model,
            traceparent=request.traceparent,
            started=self._clock(),
            deadline_s=self.file.timeouts.call,
        )
        outcome = "cancelled"
        try:
            yield trail
            outcome = "ok"
        except RouterError as error:
            outcome = error.code
            error.receipt = trail.receipt(self._clock())
            raise
        finally:
            self.dispatch.telemetry.tell(
                CallEnded(
                    request_id=trail.request_id,
                    operation=operation,
                    model=trail.model,
                    outcome=outcome,
                    seconds=self._clock() - trail.started,
                    texts=len(request.texts),
                    input_tokens=trail.input_tokens,
                    cache_hits=trail.cache_hits,
                )
            )

    def _standing(self, endpoint: Endpoint, model: str) -> Standing:
        return self.dispatch.board.standing(endpoint, model, self._clock())

    def _states(self, model: str) -> tuple[State, ...]:
        return tuple(each.state for _, each in catalog.standings(self.file, model, self._standing))

    def _passed_over(self, first: str, served: str) -> tuple[str, ...]:
        chain = (first, *self.file.models[first].fallbacks)
        return chain[: chain.index(served)]


def _finished(rows: Vectors, ask: Ask) -> Vectors:
    """Give vectors the length that was asked for; rows that were never filled stay zero."""
    from embeddings_mcp.vectors import shortened  # noqa: PLC0415 - numpy, which no start needs

    return rows if ask.dimensions == rows.shape[1] else shortened(rows, ask.dimensions)
