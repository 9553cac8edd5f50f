"""The caller's trace, as the SDK found it in the request's `_meta`, for the receipt and the runtime."""

from __future__ import annotations

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


def current_traceparent() -> str | None:
    """Return the W3C `traceparent` of the call that is being served, or `None` when it is not traced."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")
