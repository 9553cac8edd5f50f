"""What tells others which trace they belong to: the header `traceparent` of W3C Trace Context."""

from __future__ import annotations

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id


def traceparent(context: SpanContext) -> str | None:
    """Return the header that makes somebody a child of a span; `None` when there is none."""
    if not context.is_valid:
        return None
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"
