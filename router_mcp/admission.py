"""Who may call an endpoint now: a limit per endpoint, a bounded queue per runtime, fair between tenants.

The book is the only owner of in-flight counts. A slot is held by a `with` block, so no path leaks it (L18).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint
from router_mcp.errors import QueueFullError
from router_mcp.line import Line, Waiter
from router_mcp.replicas import Replicas

Clock = Callable[[], float]
MAX_RETRY_AFTER_S = 60.0
"""Callers that are sent away come again after this at the latest: others may have given up before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many calls a runtime takes: at once per endpoint, and waiting in all."""

    concurrency: int
    queue: int
    replicas: int = 1


def limits_of(policy: PolicyFile) -> dict[str, Limit]:
    """Return the limits that a policy sets, by runtime."""
    return {
        name: Limit(concurrency=runtime.concurrency, queue=runtime.max_queue, replicas=max(1, len(runtime.endpoints)))
        for name, runtime in policy.runtimes.items()
    }


class AdmissionBook:
    """Counts calls in flight and keeps the queues. Changed only by synchronous code, so it needs no lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[str, Limit] = {}
        self._running: dict[Endpoint, int] = {}
        self._totals: Counter[str] = Counter()
        self._full: dict[str, set[str]] = {}
        """By runtime, the URLs of endpoints without a free slot."""
        self._lines: dict[str, Line] = {}
        self._held_s: dict[str, float] = {}

    def configure(self, limits: dict[str, Limit]) -> None:
        """Take new limits; calls in flight and in queues stay where they are.

        A runtime that is not among them keeps its own, for the calls that began while it was configured.
        """
        self._limits |= limits
        self._full = {name: set() for name in self._limits}
        for endpoint, running in self._running.items():
            if running >= self._limits[endpoint.runtime].concurrency:
                self._full[endpoint.runtime].add(endpoint.url)
        for line in self._lines.values():
            for endpoint in line.wanted():
                self._grant(endpoint)

    def running(self, endpoint: Endpoint) -> int:
        """Return the calls in flight on an endpoint."""
        return self._running.get(endpoint, 0)

    def total(self, runtime: str) -> int:
        """Return the calls in flight on a runtime."""
        return self._totals[runtime]

    def is_full(self, runtime: str, replicas: Replicas) -> bool:
        """Tell whether none of these replicas of a runtime has a free slot, mostly without a look at each."""
        full = self._full[runtime]
        return len(full) >= len(replicas) and all(each.url in full for each in replicas)

    def in_flight(self) -> dict[Endpoint, int]:
        """Return the calls in flight on every endpoint that has any."""
        return dict(self._running)

    def queued(self, runtime: str) -> int:
        """Return how many callers wait for a runtime."""
        line = self._lines.get(runtime)
        return line.length if line else 0

    def position(self, waiter: Waiter) -> int | None:
        """Return a caller's place in its queue, from 1; `None` once it has been served or has gone away."""
        line = self._lines[waiter.endpoints[0].runtime]
        return line.position(waiter) if line.has(waiter) else None

    def retry_after_s(self, runtime: str) -> float:
        """Return in how many seconds a caller that found no place should come again, from how long calls take."""
        limit, held = self._limits[runtime], self._held_s.get(runtime, 1.0)
        seconds = held * (self.queued(runtime) + 1) / (limit.concurrency * limit.replicas)
        return round(min(MAX_RETRY_AFTER_S, max(1.0, seconds)), 1)

    async def acquire(
        self,
        runtime: str,
        endpoints: Sequence[Endpoint],
        tenant: str | None = None,
        on_wait: Callable[[Waiter | None], None] = lambda _: None,
    ) -> Endpoint:
        """Take a slot on the first of `endpoints` that has one, waiting in the queue when none has.

        The caller must go into `held` with it before it awaits anything. `on_wait` is told the waiter
        while the caller waits, and `None` when it no longer does. Raises `QueueFullError` when the queue is
        full: at once, or later when the last place of the longest line goes to a tenant that has fewer.
        """
        return self.take(runtime, endpoints) or await self.wait(runtime, endpoints, tenant, on_wait)

    def take(self, runtime: str, endpoints: Iterable[Endpoint]) -> Endpoint | None:
        """Take a slot on the first of `endpoints` that has one; as with `acquire`, go into `held` with it at once."""
        limit = self._limits[runtime].concurrency
        for endpoint in endpoints:
            if self._running.get(endpoint, 0) < limit:
                self._take(endpoint)
                return endpoint
        return None

    @contextmanager
    def held(self, endpoint: Endpoint) -> Generator[None]:
        """Hold a slot that was acquired, and give it back however the block ends."""
        started = self._clock()
        try:
            yield
        finally:
            self._release(endpoint, self._clock() - started)

    def _take(self, endpoint: Endpoint) -> None:
        running = self._running[endpoint] = self._running.get(endpoint, 0) + 1
        self._totals[endpoint.runtime] += 1
        if running == self._limits[endpoint.runtime].concurrency:
            self._full[endpoint.runtime].add(endpoint.url)

    async def wait(
        self,
        runtime: str,
        endpoints: Sequence[Endpoint],
        tenant: str | None = None,
        on_wait: Callable[[Waiter | None], None] = lambda _: None,
    ) -> Endpoint:
        """Stand in the queue until one of `endpoints` has a slot, as `acquire` does when none has."""
        line, tenant = self._lines.setdefault(runtime, Line()), tenant or ""
        if line.length >= self._limits[runtime].queue:
            displaced = line.pop_for_tenant(tenant)
            if displaced is None:
                raise self._refusal(runtime)
            displaced.event.set()
        waiter = Waiter(endpoints=endpoints, tenant=tenant)
        line.add(waiter)
        try:
            on_wait(waiter)
            await waiter.event.wait()
        except BaseException:
            if waiter.granted is not None:  # in the same moment as the cancellation: hand it on
                self._release(waiter.granted, 0.0)
            elif line.has(waiter):
                line.remove(waiter)
            raise
        finally:
            on_wait(None)
        if waiter.granted is None:
            raise self._refusal(runtime)
        return waiter.granted

    def _refusal(self, runtime: str) -> QueueFullError:
        after = self.retry_after_s(runtime)
        message = f"{runtime} runs as many calls as it may, and {self.queued(runtime)} wait. Call again in {after:g} s."
        return QueueFullError(message, retry_after_s=after)

    def _release(self, endpoint: Endpoint, held_s: float) -> None:
        running = self._running[endpoint] = self._running[endpoint] - 1
        self._totals[endpoint.runtime] -= 1
        if running == self._limits[endpoint.runtime].concurrency - 1:
            self._full[endpoint.runtime].discard(endpoint.url)
        if not running:
            del self._running[endpoint]
        if held_s:
            before = self._held_s.get(endpoint.runtime, held_s)
            self._held_s[endpoint.runtime] = before + 0.1 * (held_s - before)
        self._grant(endpoint)

    def _grant(self, endpoint: Endpoint) -> None:
        line, limit = self._lines.get(endpoint.runtime), self._limits[endpoint.runtime].concurrency
        while line and self._running.get(endpoint, 0) < limit:
            waiter = line.pop_for(endpoint)
            if waiter is None:
                return
            self._take(endpoint)
            waiter.granted = endpoint
            waiter.event.set()
