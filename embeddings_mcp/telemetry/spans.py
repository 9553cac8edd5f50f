"""One `embeddings {model}` CLIENT span a batch, by the OpenTelemetry GenAI conventions. Texts are never in it."""

from __future__ import annotations

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from embeddings_mcp.telemetry.base import BatchEnded, BatchStarted, Event
from router_mcp.telemetry.conventions import server


class Spans:
    """Listens, and writes spans under whatever span is current (the SDK's `tools/call`)."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, Span] = {}
        self._propagator = TraceContextTextMapPropagator()

    def started(self, event: BatchStarted) -> str | None:
        """Begin a span; return the `traceparent` that makes the backend its child."""
        span = self._tracer.start_span(
            f"embeddings {event.served_name}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "embeddings",
                "gen_ai.provider.name": event.kind,
                "gen_ai.request.model": event.served_name,
                "router_mcp.request_id": event.request_id,
                "embeddings_mcp.texts": event.texts,
                **server(event.endpoint),
            },
        )
        self._open[id(event)] = span
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent")

    def tell(self, event: Event) -> None:
        """End the span of a batch that is over; nothing else has spans."""
        if not isinstance(event, BatchEnded):
            return
        span = self._open.pop(id(event.started))
        span.set_attribute("gen_ai.usage.input_tokens", event.input_tokens)
        if not event.served:
            reason = event.error.outcome if event.error else "cancelled"
            span.set_attribute("error.type", reason)
            span.set_status(StatusCode.ERROR, reason)
        span.end()
