"""OpenTelemetry spans: one `chat {model}` CLIENT span per attempt, by the GenAI conventions.

They hang under the span that is current when an attempt starts, which in a server is the SDK's `tools/call` span;
that one is given the call's own events: queued, fell back, repaired. Prompts and answers are recorded only when
`content` is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from router_mcp.telemetry.base import (
    Answered,
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    Cancelled,
    Event,
    FellBack,
    FirstToken,
    Queued,
    Refused,
    Repaired,
)
from router_mcp.telemetry.conventions import Attributes, answered, asked, input_messages, output_messages
from router_mcp.telemetry.traceparent import traceparent

_SECOND = 1_000_000_000
_W3C = TraceContextTextMapPropagator()
WORTH_TELLING_S = 0.01
"""Waits for a slot that are shorter are not an event."""


class Spans:
    """Telemetry that traces attempts. Timestamps are Unix nanoseconds."""

    def __init__(
        self, provider: trace.TracerProvider, *, content: bool, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._tracer = provider.get_tracer("router-mcp")
        self._content = content
        self._now_ns = now_ns
        self._open: dict[str, tuple[Span, int]] = {}
        self._hearers: Mapping[type[Event], Callable[[Any], None]] = {
            FirstToken: self._first_token,
            AttemptEnded: self._end,
            Queued: _queued,
            FellBack: _fell_back,
            Repaired: _repaired,
            Answered: _describe,
            Refused: _describe,
            Cancelled: _describe,
        }

    def started(self, event: AttemptStarted) -> str | None:
        """Open a span and return the `traceparent` that lets the runtime's own spans join it."""
        begun = self._now_ns()
        span = self._tracer.start_span(
            f"chat {event.model}",
            context=_parent(event.call.traceparent),
            kind=SpanKind.CLIENT,
            attributes=asked(event),
            start_time=begun,
        )
        if self._content and span.is_recording():
            span.set_attribute("gen_ai.input.messages", input_messages(event.call.messages))
        self._open[event.call.request_id] = (span, begun)
        return traceparent(span.get_span_context())

    def tell(self, event: Event) -> None:
        """Add what is known to the attempt's span, or to the call's."""
        hear = self._hearers.get(type(event))
        if hear is not None:
            hear(event)

    def _first_token(self, event: FirstToken) -> None:
        opened = self._open.get(event.started.call.request_id)
        if opened is not None:
            span, begun = opened
            span.set_attribute("gen_ai.response.time_to_first_chunk", event.seconds)
            span.add_event("router_mcp.first_token", timestamp=begun + int(event.seconds * _SECOND))

    def _end(self, event: AttemptEnded) -> None:
        opened = self._open.pop(event.started.call.request_id, None)
        if opened is None:
            return
        span = opened[0]
        span.set_attributes(answered(event))
        if event.completion is not None and self._content:
            span.set_attribute("gen_ai.output.messages", output_messages(event.completion))
        if event.outcome != "ok":
            span.set_status(StatusCode.ERROR, event.outcome)
        span.end()


def _parent(callers: str | None) -> Context | None:
    """Return where a span belongs: under the current one, which `None` means, else in the caller's trace."""
    if not callers or trace.get_current_span().get_span_context().is_valid:
        return None
    return _W3C.extract({"traceparent": callers})


def _queued(event: Queued) -> None:
    if event.seconds >= WORTH_TELLING_S:
        waited: Attributes = {"router_mcp.runtime": event.runtime, "router_mcp.queue.wait_s": event.seconds}
        trace.get_current_span().add_event("router_mcp.queued", waited)


def _fell_back(event: FellBack) -> None:
    moved = {"router_mcp.from": event.model, "router_mcp.to": event.to, "error.type": event.reason}
    trace.get_current_span().add_event("router_mcp.fallback", moved)


def _repaired(event: Repaired) -> None:
    again = {"gen_ai.request.model": event.model, "router_mcp.repair.reason": event.reason}
    trace.get_current_span().add_event("router_mcp.repair", again)


def _describe(event: CallEnded) -> None:
    """Say on the call's span what its receipt says."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    receipt = event.receipt
    said: Attributes = {
        "router_mcp.request_id": receipt.request_id,
        "router_mcp.task": receipt.task,
        "router_mcp.outcome": event.outcome,
        "router_mcp.attempts": len(receipt.attempts),
    }
    if isinstance(event, Answered) and event.result.fallback_from:
        said["router_mcp.fallback_from"] = list(event.result.fallback_from)
    span.set_attributes(said)
