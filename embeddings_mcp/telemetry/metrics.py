"""Prometheus metrics of the embeddings server: counters from what is told, gauges from the state at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from embeddings_mcp.dispatch import Dispatch
from embeddings_mcp.telemetry.base import BatchEnded, BatchStarted, CallEnded, Event, FellBack
from router_mcp.domain import State

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Listens, counts, and writes it all down for `/metrics`. Has a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "embeddings_mcp_requests", "Calls, by how they ended.", ("model", "outcome"), registry=registry
        )
        self._duration = Histogram(
            "embeddings_mcp_request_duration_seconds", "Whole calls.", ("model",), buckets=_SECONDS, registry=registry
        )
        self._texts = Counter("embeddings_mcp_texts", "Texts of calls that were served.", ("model",), registry=registry)
        self._tokens = Counter("embeddings_mcp_tokens", "Tokens that backends counted.", ("model",), registry=registry)
        self._hits = Counter(
            "embeddings_mcp_cache_hits", "Texts that were remembered and not sent.", ("model",), registry=registry
        )
        self._batches = Counter(
            "embeddings_mcp_batches", "Requests to backends.", ("model", "backend", "outcome"), registry=registry
        )
        self._fallbacks = Counter(
            "embeddings_mcp_fallbacks",
            "Calls that moved on to another model of the same space.",
            ("from", "to", "reason"),
            registry=registry,
        )

    def watch(self, dispatch: Dispatch) -> None:
        """Show how endpoints and queues stand, too."""
        self.registry.register(_Standing(dispatch))

    def started(self, event: BatchStarted) -> str | None:
        """Hear that a batch starts; metrics wait for its end."""
        return None

    def tell(self, event: Event) -> None:
        """Count what happened."""
        match event:
            case BatchEnded(started=started):
                outcome = "ok" if event.served else event.error.outcome if event.error else "cancelled"
                self._batches.labels(started.model, started.endpoint.runtime, outcome).inc()
            case FellBack():
                self._fallbacks.labels(event.model, event.to, event.reason).inc()
            case CallEnded():
                self._requests.labels(event.model, event.outcome).inc()
                self._duration.labels(event.model).observe(event.seconds)
                self._tokens.labels(event.model).inc(event.input_tokens)
                self._hits.labels(event.model).inc(event.cache_hits)
                if event.outcome == "ok":
                    self._texts.labels(event.model).inc(event.texts)

    def exposition(self) -> tuple[bytes, str]:
        """Return what `/metrics` shows, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _Standing(Collector):
    """Reads the health board and the admission book at each scrape, so that no gauge can go stale."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        file, board, book = self._dispatch.file, self._dispatch.board, self._dispatch.book
        states = GaugeMetricFamily(
            "embeddings_mcp_endpoint_state", "1 for the state it is in.", labels=("backend", "endpoint", "state")
        )
        running = GaugeMetricFamily("embeddings_mcp_in_flight", "Batches in flight.", labels=("backend", "endpoint"))
        waiting = GaugeMetricFamily("embeddings_mcp_queue_depth", "Batches that wait.", labels=("backend",))
        now = self._dispatch.clock()
        for name in file.backends:
            waiting.add_metric((name,), book.queued(name))
            for endpoint in file.endpoints(name):
                running.add_metric((name, endpoint.url), book.running(endpoint))
                current = board.standing(endpoint, "", now).state
                for state in get_args(State):
                    states.add_metric((name, endpoint.url, state), float(state == current))
        yield from (states, running, waiting)
