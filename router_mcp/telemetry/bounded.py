"""A span processor whose queue is bounded and whose losses are counted; the SDK's own drops in silence.

It stands before the SDK's batches and lets through only what fits, so the exact number that does not is known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from router_mcp.telemetry.light import LightSpan

_log = logging.getLogger(__name__)


@runtime_checkable
class SendsLight(Protocol):
    """An exporter that takes spans as they are; others are given spans of the SDK's own."""

    def send(self, spans: Sequence[LightSpan]) -> SpanExportResult:
        """Export spans."""
        ...


class BoundedSpans:
    """Batches spans for an exporter; at most `room` wait."""

    def __init__(self, exporter: SpanExporter, room: int) -> None:
        self._exporter = _Counting(exporter)
        self._room = room
        # Batches of a quarter: the queue then empties while it fills.
        self._batches = BatchSpanProcessor(self._exporter, max_queue_size=room, max_export_batch_size=_batch(room))
        self._accepted = 0
        self._too_many = 0

    def drops(self) -> Mapping[str, int]:
        """Return how many spans were lost, by reason."""
        return {"queue_full": self._too_many, "export_failed": self._exporter.failed}

    def take(self, span: LightSpan) -> None:
        """Queue a span that ended, or count it as lost; one that was not sampled is neither."""
        if not span.context.trace_flags.sampled:
            return
        if self._accepted - self._exporter.taken >= self._room:
            self._too_many += 1
            return
        self._accepted += 1
        self._batches.on_end(cast("ReadableSpan", span))  # it looks at the context, and passes the span on

    def shutdown(self) -> None:
        """Send what waits, and end."""
        self._batches.shutdown()  # type: ignore[no-untyped-call] # the SDK leaves it without types

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._batches.force_flush(timeout_millis)


def _batch(room: int) -> int:
    return max(1, min(512, room // 4))


class _Counting(SpanExporter):
    """Another exporter, with its failures counted and said once. Each number has one writer: the export thread."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0
        self.failed = 0
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        light = cast("Sequence[LightSpan]", spans)
        if isinstance(self._exporter, SendsLight):
            result = self._exporter.send(light)
        else:
            result = self._exporter.export([span.readable() for span in light])
        failing = result is not SpanExportResult.SUCCESS
        if failing:
            self.failed += len(spans)
        if failing != self._failing:
            self._failing = failing
            if failing:
                _log.warning("Traces cannot be exported; calls go on without them. Look at the collector.")
            else:
                _log.info("Traces are exported again; %d spans were lost.", self.failed)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
