"""Prometheus metrics (CONTRACT §6): counters from events, gauges read from their owners at each scrape.

Labels are bounded: names of the policy and words of ours, never a prompt, a tenant or an upstream text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.fleet import Fleet
from router_mcp.telemetry.base import (
    Answered,
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    Cancelled,
    Event,
    FellBack,
    FirstToken,
    LoopLagged,
    Queued,
    Refused,
    Reloaded,
    Repaired,
)
from router_mcp.telemetry.gauges import DroppedSpans, RouterGauges

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 240)
"""Short classifications up to the long-form deadline of 120 s, and what lies beyond it."""
_FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_WAIT = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class PrometheusMetrics:
    """Telemetry that counts. One per process; `watch` it a router for the gauges."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("router_mcp_build", "Version of the router.", registry=self.registry).info({"version": version})
        self._count_calls()
        self._count_attempts()
        self._reloads = self._counter("config_reloads", "Reloads of the policy.", "outcome")
        for outcome in ("ok", "refused"):  # there from the start, for else the first would not count as an increase
            self._reloads(outcome)
        late = "How late the event loop was."
        self._lag = Histogram("router_mcp_event_loop_lag_seconds", late, buckets=_LAG, registry=self.registry)

    def _count_calls(self) -> None:
        called = "Calls, by what came of them: ok, deadline, cancelled, or the error's code."
        self._requests = self._counter("requests", called, "task", "model", "runtime", "outcome")
        self._duration = self._histogram("request_duration_seconds", "Whole calls.", _SECONDS, "task", "outcome")
        moved = "Calls that moved to another model."
        self._fallbacks = self._counter("fallbacks", moved, "task", "from", "to", "reason")
        waited = "How long calls waited for a slot."
        self._waits = self._histogram("queue_wait_seconds", waited, _WAIT, "runtime")

    def _count_attempts(self) -> None:
        labels = ("model", "runtime", "outcome")
        tried = "Tries of one model on one runtime."
        self._attempts = self._counter("attempts", tried, *labels)
        self._attempt_duration = self._histogram("attempt_duration_seconds", tried, _SECONDS, *labels)
        first = "From the start of an attempt to its first token."
        self._first_token = self._histogram("time_to_first_token_seconds", first, _FIRST_TOKEN, "model", "runtime")
        self._tokens = self._counter("tokens", "Tokens as runtimes counted them.", "direction", "model")
        again = "Invalid answers asked for again."
        self._repairs = self._counter("structured_repairs", again, "model", "reason")

    def _counter(self, name: str, text: str, *labels: str) -> Callable[..., Counter]:
        """Return what gives the child of some labels; to have the library look it up takes longer than to count."""
        return cache(Counter(f"router_mcp_{name}_total", text, labels, registry=self.registry).labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
        return cache(Histogram(f"router_mcp_{name}", text, labels, buckets=buckets, registry=self.registry).labels)

    def watch(
        self, board: HealthBoard, book: AdmissionBook, fleet: Callable[[], Fleet], clock: Callable[[], float]
    ) -> None:
        """Show the gauges of a router, read from its parts."""
        self.registry.register(RouterGauges(board, book, fleet, clock))

    def watch_drops(self, drops: Callable[[], Mapping[str, int]]) -> None:
        """Show how many spans were never exported, and why."""
        self.registry.register(DroppedSpans(drops))

    def exposition(self) -> tuple[bytes, str]:
        """Return a scrape and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def started(self, event: AttemptStarted) -> str | None:
        """Nothing is counted before it has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Queued():
                self._waits(event.runtime).observe(event.seconds)
            case FirstToken():
                started = event.started
                self._first_token(started.model, started.call.endpoint.runtime).observe(event.seconds)
            case AttemptEnded():
                self._attempt(event)
            case FellBack():
                self._fallbacks(event.task, event.model, event.to, event.reason).inc()
            case Repaired():
                self._repairs(event.model, event.reason).inc()
            case Reloaded():
                self._reloads(event.outcome).inc()
            case LoopLagged():
                self._lag.observe(event.seconds)
            case Answered() | Refused() | Cancelled():
                self._call(event)

    def _attempt(self, event: AttemptEnded) -> None:
        completion, model = event.completion, event.started.model
        labels = (model, event.started.call.endpoint.runtime, event.outcome)
        self._attempts(*labels).inc()
        self._attempt_duration(*labels).observe(event.seconds)
        if completion is not None:
            self._tokens("input", model).inc(completion.usage.input_tokens)
            self._tokens("output", model).inc(completion.usage.output_tokens)

    def _call(self, event: CallEnded) -> None:
        receipt = event.receipt
        served = event.result if isinstance(event, Answered) else None
        model, runtime = (served.model, served.runtime) if served else ("", "")
        self._requests(receipt.task, model, runtime, event.outcome).inc()
        self._duration(receipt.task, event.outcome).observe(receipt.seconds)
