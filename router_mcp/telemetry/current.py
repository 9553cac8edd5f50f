"""The current span of a block: what `opentelemetry.trace.use_span` does, without its generator."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import StatusCode


class Current:
    """Makes a span the current one of a block, as `opentelemetry.trace.use_span` does."""

    __slots__ = ("_ends", "_records", "_span", "_states", "_token")

    def __init__(self, span: trace.Span, ends: bool, records: bool, states: bool) -> None:
        self._span = span
        self._ends = ends
        self._records = records
        self._states = states

    def __enter__(self) -> trace.Span:
        """Begin."""
        self._token = attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """End, and note an error if that is asked for."""
        detach(self._token)
        if isinstance(error, Exception) and self._span.is_recording():
            if self._records:
                self._span.record_exception(error)
            if self._states:
                self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        if self._ends:
            self._span.end()
