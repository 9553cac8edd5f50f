"""The caller's trace, for the receipt and the runtime: from a request's `_meta`, else from its HTTP headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers

from router_mcp.telemetry.traceparent import traceparent

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def current_traceparent() -> str | None:
    """Return the W3C `traceparent` of the call that is being served, or `None` when it is not traced."""
    return traceparent(trace.get_current_span().get_span_context())


def current_trace_id() -> str | None:
    """Return the id of the trace that the call which is being served belongs to, or `None` when there is none."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else None


class Traced:
    """An ASGI app that serves requests within the trace that their `traceparent` header names.

    The SDK looks into `_meta` alone, and falls back to what is ambient: this. Proxies and HTTP clients that are
    instrumented know only the header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        token = context.attach(TraceContextTextMapPropagator().extract(Headers(scope=scope)))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)
