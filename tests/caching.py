"""A scripted vLLM that keeps prefixes as the real one does: whole blocks, by salt, counted, dropped when told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anyio

from router_mcp.domain import Call, Completion, Endpoint, Listener, Probe, Usage
from router_mcp.errors import AttemptError
from tests.scripted import ScriptedRuntime

BLOCK = 16
READ_S = 0.01
"""Seconds for each token that is not in the cache."""


@dataclass
class Shelf:
    """One endpoint's cache and counters."""

    blocks: set[tuple[str, ...]] = field(default_factory=set)
    queried: int = 0
    hit: int = 0
    running: int = 0


@dataclass
class CachingRuntime(ScriptedRuntime):
    """Words are tokens. `refuses` are answers of `reset_cache` that come before it works."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    refuses: int = 0
    resets: int = 0
    counts: bool = True
    keeps_all: bool = False
    """Whether it says that it dropped its cache, and did not (a tier below that still serves)."""
    strangers: int = 0
    """Tokens of other callers that are counted with each call."""
    busy: int = 0
    late: int = 0
    """Probes after a call whose counters do not know of it yet."""
    mute: int = 0
    """Probes that come back without any counter, because the server had no time for them."""
    failure: AttemptError | None = None
    _told: int = 0
    _told_late: int = 0
    _before: tuple[int, int] = (0, 0)

    def shelf(self, endpoint: Endpoint) -> Shelf:
        return self.shelves.setdefault(endpoint.url, Shelf())

    async def generate(self, call: Call, listener: Listener) -> Completion:
        self.calls.append(replace(call))
        if self.failure:
            raise self.failure
        shelf = self.shelf(call.endpoint)
        words = [word for message in call.messages for word in (message.role, *message.content.split())]
        keys = [(call.cache_salt or "", *words[:end]) for end in range(BLOCK, len(words), BLOCK)]
        hits = BLOCK * sum(key in shelf.blocks for key in keys)
        shelf.queried += len(words) + self.strangers
        shelf.hit += hits
        shelf.blocks.update(keys)
        await anyio.sleep(READ_S * (len(words) - hits))
        listener.text("one")
        return Completion(text="one", finish_reason="length", usage=Usage(input_tokens=len(words), output_tokens=1))

    async def probe(self, endpoint: Endpoint) -> Probe:
        self.probes += 1
        await anyio.lowlevel.checkpoint()
        if self.failure:
            raise self.failure
        shelf = self.shelf(endpoint)
        if self.mute:
            self.mute -= 1
            return Probe()
        if self.calls and self._told < len(self.calls):
            self._told_late += 1
            if self._told_late <= self.late:
                return Probe(running=self.busy, prefix_queried=self._before[0], prefix_hit=self._before[1])
            self._told, self._told_late = len(self.calls), 0
        self._before = (shelf.queried, shelf.hit)
        if not self.counts:
            return Probe(running=self.busy)
        return Probe(running=self.busy, prefix_queried=shelf.queried, prefix_hit=shelf.hit)

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        self.resets += 1
        if self.failure:
            raise self.failure
        if self.refuses:
            self.refuses -= 1
            return False
        if not self.keeps_all:
            self.shelf(endpoint).blocks.clear()
        return True
