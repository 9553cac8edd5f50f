"""The recent past, in memory and bounded: how long models took, and when endpoints changed their state.

For the status page and its likes; what must last belongs in Prometheus. Times are on the router's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from router_mcp.domain import Endpoint, State
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, Event, FirstToken

SAMPLES = 60
"""Attempts remembered of each model."""
CHANGES = 200
"""Changes of state remembered in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An endpoint became something else."""

    at: float
    endpoint: Endpoint
    state: State
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One attempt."""

    at: float
    seconds: float
    outcome: str
    first_token_s: float | None = None
    output_tokens: int = 0

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second once they came; `None` when there were too few to tell."""
        writing = self.seconds - (self.first_token_s or 0.0)
        return self.output_tokens / writing if self.output_tokens > 1 and writing > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recently:
    """How a model did in the attempts that are remembered. Seconds of served ones; `None` without any."""

    attempts: int = 0
    failed: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    first_token_p50_s: float | None = None
    tokens_per_s: float | None = None
    latencies_s: tuple[float, ...] = ()
    """Of served attempts, the oldest first."""


class History:
    """Telemetry that remembers; whoever knows the states of endpoints tells them to `observe`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._samples: dict[str, deque[Sample]] = {}
        self._first: dict[str, float] = {}
        self._states: dict[Endpoint, State] = {}
        self._changes: deque[Change] = deque(maxlen=CHANGES)

    def started(self, event: AttemptStarted) -> str | None:
        """Remember nothing before it has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Remember an attempt."""
        if isinstance(event, FirstToken):
            self._first[event.started.call.request_id] = event.seconds
        elif isinstance(event, AttemptEnded):
            started, completion = event.started, event.completion
            sample = Sample(
                at=self._now(),
                seconds=event.seconds,
                outcome=event.outcome,
                first_token_s=self._first.pop(started.call.request_id, None),
                output_tokens=completion.usage.output_tokens if completion else 0,
            )
            self._samples.setdefault(started.model, deque(maxlen=SAMPLES)).append(sample)

    def observe(self, states: Iterable[tuple[Endpoint, State, str | None]]) -> None:
        """Compare the endpoints' states (and last errors) with those of the last look, and remember what changed."""
        seen: dict[Endpoint, State] = {}
        for endpoint, state, error in states:
            seen[endpoint] = state
            if self._states.get(endpoint, "unknown") != state:
                self._changes.append(Change(at=self._now(), endpoint=endpoint, state=state, error=error))
        self._states = seen

    def changes(self) -> Sequence[Change]:
        """Return the changes that are remembered, the oldest first."""
        return tuple(self._changes)

    def recently(self, model: str) -> Recently:
        """Return how a model did lately."""
        samples = self._samples.get(model, ())
        served = [sample for sample in samples if sample.outcome == "ok"]
        seconds = [sample.seconds for sample in served]
        firsts = [sample.first_token_s for sample in served if sample.first_token_s is not None]
        speeds = [speed for sample in served if (speed := sample.tokens_per_s) is not None]
        return Recently(
            attempts=len(samples),
            failed=len(samples) - len(served) - sum(sample.outcome == "cancelled" for sample in samples),
            p50_s=quantile(seconds, 0.5),
            p95_s=quantile(seconds, 0.95),
            first_token_p50_s=quantile(firsts, 0.5),
            tokens_per_s=quantile(speeds, 0.5),
            latencies_s=tuple(seconds),
        )


def quantile(values: Sequence[float], part: float) -> float | None:
    """Return the smallest value that at least this part of the values do not exceed; `None` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(part * len(ordered)) - 1)]
