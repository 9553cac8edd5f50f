"""The vectors of one call from one model: remembered ones first, the rest in batches, each back in its place.

A batch that fails because of what is in it is split until the text at fault stands alone; the others keep their
vectors. A batch that fails because of its backend ends the whole gathering.

Callers do not share batches. Measured, a window for that would cost a lone caller of the embedded model five times
its 0.4 ms, and llama.cpp, vLLM and TEI batch what comes at the same time themselves (64 single texts at once took
llama.cpp as long as one request of 64).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import numpy as np

from embeddings_mcp import vectors
from embeddings_mcp.batching import about, at_most, halves, split
from embeddings_mcp.cache import VectorCache
from embeddings_mcp.dispatch import Dispatch
from embeddings_mcp.domain import Answer, Item, Progress, Vectors
from embeddings_mcp.errors import BadVectorError, PayloadTooLargeError, TextTooLongError
from embeddings_mcp.trail import Trail
from router_mcp.errors import AttemptError
from router_mcp.tokens import at_least

Positions = tuple[int, ...]
ReasonT = TypeVar("ReasonT")
UNUSABLE = "its vector is zero or not finite"


@dataclass(slots=True, kw_only=True)
class Gathering:
    """Distinct items, and what has become of them. Owned by one call."""

    dispatch: Dispatch
    cache: VectorCache
    model: str
    items: tuple[Item, ...]
    truncate: bool
    trail: Trail
    progress: Progress
    rows: Vectors = field(init=False)
    """Row `i` is the vector of item `i`, once it is done; of full length, normalised if the model is to be."""
    truncated: set[int] = field(default_factory=set)
    too_long: dict[int, int | None] = field(default_factory=dict)
    """Items that are too long, with their tokens where they are known."""
    bad: dict[int, str] = field(default_factory=dict)
    """Items without a usable vector, and why."""
    _filled: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        config = self.dispatch.file.models[self.model]
        self.rows = np.zeros((len(self.items), config.dimensions), dtype=np.float32)

    def is_done(self, position: int) -> bool:
        """Tell whether an item has its vector."""
        return position in self._filled

    async def run(self) -> None:
        """Get the vectors of all items; those that are too long end in `too_long`.

        Raises `AttemptError` when the backend is at fault, or made unusable vectors for the texts in `bad`.
        """
        waiting = tuple(each for each in range(len(self.items)) if not self._remembered(each))
        batches = iter(self._batches(waiting))
        config = self.dispatch.file.backend_of(self.model)
        failures: list[AttemptError] = []
        async with anyio.create_task_group() as group:

            async def work() -> None:
                try:
                    for batch in batches:
                        await self._settle(batch)
                except AttemptError as error:
                    failures.append(error)
                    group.cancel_scope.cancel()

            for _ in range(config.concurrency * max(1, len(config.endpoints))):
                group.start_soon(work)
        if failures:
            raise failures[0]
        if self.bad and not self.too_long:
            reason = next(iter(self.bad.values()))
            raise BadVectorError(f"{self.model} made no usable vector for {len(self.bad)} texts.", reason=reason)

    def _batches(self, waiting: Positions) -> Iterator[Positions]:
        config = self.dispatch.file.models[self.model]
        sizes = [about(self.items[each].text) for each in waiting]
        suspicious = self.dispatch.backends[config.backend].cuts_silently
        alone = [
            place
            for place, each in enumerate(waiting)
            if self._surely_too_long(each) or (suspicious and at_most(self.items[each].text) > config.max_input_tokens)
        ]
        for batch in split(sizes, max_texts=config.batch_size, max_tokens=config.batch_tokens, alone=alone):
            yield tuple(waiting[place] for place in batch)

    async def _settle(self, batch: Positions) -> None:
        """Send a batch, and parts of it again, until every item of it has a vector or a reason why not."""
        if len(batch) == 1 and (bound := self._surely_too_long(batch[0])):
            await self._cut(batch[0], bound)
            return
        try:
            answer = await self._send(batch)
        except TextTooLongError as error:
            await self._settle_too_long(batch, error)
        except PayloadTooLargeError:
            await self._narrow(batch, self.too_long, None)
        except BadVectorError as error:
            await self._narrow(batch, self.bad, error.reason)
        else:
            for position in self._take(batch, answer):
                if len(batch) == 1:
                    self.bad[position] = UNUSABLE
                else:
                    await self._settle((position,))

    async def _settle_too_long(self, batch: Positions, error: TextTooLongError) -> None:
        long = {batch[place]: tokens for place, tokens in error.tokens.items()}
        if len(batch) > 1 and not long:
            await self._narrow(batch, self.too_long, None)
            return
        for position in long or batch:
            await self._cut(position, long.get(position))
        if rest := tuple(position for position in batch if long and position not in long):
            await self._settle(rest)

    async def _narrow(self, batch: Positions, ledger: dict[int, ReasonT], reason: ReasonT) -> None:
        """Enter a text that failed alone in the ledger; send a batch that failed again in halves."""
        if len(batch) == 1:
            ledger[batch[0]] = reason
            return
        for part in halves(batch):
            await self._settle(part)

    async def _cut(self, position: int, tokens: int | None) -> None:
        """Have a text that is too long cut by its backend, if the caller allowed that."""
        if not self.truncate:
            self.too_long[position] = tokens
            return
        try:
            answer = await self._send((position,), truncate=True)
        except (TextTooLongError, PayloadTooLargeError):
            self.too_long[position] = tokens
        else:
            self.truncated.add(position)
            if self._take((position,), answer):
                self.bad[position] = UNUSABLE

    def _surely_too_long(self, position: int) -> int | None:
        """Return how many tokens a text has at the least, when that is more than the model takes."""
        text, limit = self.items[position].text, self.dispatch.file.models[self.model].max_input_tokens
        if len(text) <= limit:  # a token has a character or more
            return None
        bound = at_least(text)
        return bound if bound > limit else None

    async def _send(self, batch: Positions, *, truncate: bool = False) -> Answer:
        config = self.dispatch.file.models[self.model]
        items = [self.items[position] for position in batch]
        texts = tuple(config.prefix(item.input_type) + item.text for item in items)
        return await self.dispatch.send(self.model, texts, self.trail, truncate=truncate)

    def _take(self, batch: Positions, answer: Answer) -> Positions:
        """Keep the usable vectors of an answer; return the positions of the others."""
        unusable = set(vectors.unusable(answer.vectors))
        good = [place for place in range(len(batch)) if place not in unusable]
        kept = answer.vectors[good]
        if self.dispatch.file.models[self.model].normalize:
            kept = vectors.normalised(kept)
        for place, row in zip(good, kept, strict=True):
            position = batch[place]
            self._fill(position, row)
            if position not in self.truncated:
                self.cache.put(self.trail.tenant, self.model, self.items[position], row)
        self._tell()
        return tuple(batch[place] for place in sorted(unusable))

    def _remembered(self, position: int) -> bool:
        row = self.cache.get(self.trail.tenant, self.model, self.items[position])
        if row is None:
            return False
        self._fill(position, row)
        self.trail.cache_hits += 1
        return True

    def _fill(self, position: int, row: Vectors) -> None:
        self.rows[position] = row
        self._filled.add(position)
        self.trail.done = len(self._filled)

    def _tell(self) -> None:
        self.progress(len(self._filled), len(self.items))
