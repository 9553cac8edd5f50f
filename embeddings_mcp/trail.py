"""One call while it runs: what was tried, what it cost, and the receipt that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from router_mcp.domain import Attempt, Endpoint, Receipt
from router_mcp.errors import AttemptError

TASK = "embedding"
MOST_FAILURES = 20


@dataclass(slots=True)
class _Served:
    seconds: float = 0.0
    batches: int = 0


@dataclass(slots=True, kw_only=True)
class Trail:
    """Owned by one call. Failed batches are listed one by one; served ones are added up by endpoint."""

    request_id: str
    tenant: str | None
    model: str
    """The model that is asked now."""
    traceparent: str | None = None
    """The caller's trace, if there is one."""
    started: float
    deadline_s: float
    done: int = 0
    """Texts that have their vector."""
    input_tokens: int = 0
    cache_hits: int = 0
    queue_wait_s: float = 0.0
    models_left: int = 0
    """Models that may still be tried after this one."""
    notes: list[str] = field(default_factory=list)
    failed: list[Attempt] = field(default_factory=list)
    _served: dict[tuple[str, Endpoint], _Served] = field(default_factory=dict)

    def served(self, model: str, endpoint: Endpoint, seconds: float, input_tokens: int) -> None:
        """Note a batch that was answered."""
        total = self._served.setdefault((model, endpoint), _Served())
        total.seconds += seconds
        total.batches += 1
        self.input_tokens += input_tokens

    def failure(self, model: str, endpoint: Endpoint, seconds: float, error: AttemptError) -> None:
        """Note a batch that failed; of very many, the receipt lists the first."""
        if len(self.failed) == MOST_FAILURES:
            return
        self.failed.append(
            Attempt(
                model=model,
                runtime=endpoint.runtime,
                endpoint=endpoint.url,
                outcome=error.outcome,
                seconds=round(seconds, 4),
                detail=str(error),
            )
        )

    def share_s(self, now: float, tries_left: int) -> float:
        """Return how long a batch may be silent, so that every try that is left has as long; counts this one.

        A model that has served part of the call may have the rest of its time: it lives, and another would
        have to begin anew.
        """
        left = max(0.0, self.started + self.deadline_s - now)
        return left if self.done else left / (tries_left + self.models_left)

    def turn_to(self, model: str, models_left: int) -> None:
        """Start anew with another model: the vectors of the last one are dropped, so their tokens are not counted."""
        self.model, self.models_left = model, models_left
        self.done = self.input_tokens = self.cache_hits = 0

    def receipt(self, now: float) -> Receipt:
        """Return how the call came about so far."""
        served = [
            Attempt(
                model=model,
                runtime=endpoint.runtime,
                endpoint=endpoint.url,
                outcome="ok",
                seconds=round(total.seconds, 4),
                detail=f"{total.batches} batches" if total.batches > 1 else None,
            )
            for (model, endpoint), total in self._served.items()
        ]
        hits = (f"{self.cache_hits} texts were remembered and not sent.",) if self.cache_hits else ()
        return Receipt(
            request_id=self.request_id,
            task=TASK,
            attempts=(*self.failed, *served),
            deadline_s=self.deadline_s,
            seconds=round(now - self.started, 4),
            queue_wait_s=round(self.queue_wait_s, 4),
            trace_id=_trace_id(self.traceparent),
            notes=(*self.notes, *hits),
        )


def _trace_id(traceparent: str | None) -> str | None:
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
