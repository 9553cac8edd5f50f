"""OpenTelemetry's tracing API with spans that cost little to record; the SDK does everything else.

A span of the SDK locks, copies and checks at every step: in a busy router two of them cost a fifth of a call
(benchmarks/telemetry.py). These only note what they are told. The SDK's sampler, resource, ids and limits stay in
force, and a span becomes one of the SDK's own when it is exported, in the export thread.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from router_mcp.telemetry.current import Current

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SdkProvider
    from opentelemetry.util.types import AnyValue, Attributes

    from router_mcp.telemetry.bounded import BoundedSpans

_SAMPLED, _RANDOM = 1, 2
_FLAGS = tuple(map(TraceFlags, range(4)))
_UNSET = Status(StatusCode.UNSET)


class LightSpan(trace.Span):
    """Notes what it is told; told after its end, it does not listen."""

    __slots__ = (
        "_ended",
        "attributes",
        "context",
        "end_time",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "start_time",
        "status",
        "tracer",
    )

    def __init__(self, tracer: LightTracer, name: str, context: SpanContext, parent: SpanContext | None) -> None:
        self.tracer = tracer
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = SpanKind.INTERNAL
        self.attributes: dict[str, AnyValue] = {}
        self.events: list[tuple[str, Attributes, int]] = []
        self.links: Sequence[Link] = ()
        self.status = _UNSET
        self.start_time = 0
        self.end_time = 0
        self._ended = False

    def get_span_context(self) -> SpanContext:
        """Return its identity."""
        return self.context

    def is_recording(self) -> bool:
        """Say whether it still listens."""
        return not self._ended

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Note an attribute."""
        if not self._ended:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Note attributes."""
        if not self._ended:
            self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note an event."""
        if not self._ended:
            self.events.append((name, attributes, timestamp or time.time_ns()))

    def update_name(self, name: str) -> None:
        """Take another name."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Note how it went; `OK` is final, as the specification says."""
        if not self._ended and self.status.status_code is not StatusCode.OK:
            self.status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception as the conventions say."""
        about: dict[str, Any] = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            **(attributes or {}),
        }
        self.add_event("exception", about, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it, and hand it to the export."""
        if not self._ended:
            self.end_time = end_time or time.time_ns()
            self._ended = True
            self.tracer.provider.sink.take(self)

    def readable(self) -> ReadableSpan:
        """Return it as a span of the SDK, within the SDK's limits."""
        tracer, limits = self.tracer, self.tracer.provider.limits
        return ReadableSpan(
            name=self.name,
            context=self.context,
            parent=self.parent,
            resource=tracer.provider.sdk.resource,
            attributes=_bounded(self.attributes, limits.max_span_attributes, limits.max_span_attribute_length),
            events=[
                Event(name, _bounded(about, limits.max_event_attributes, limits.max_attribute_length), at)
                for name, about, at in self.events
            ],
            links=self.links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=tracer.scope,
        )


def _bounded(attributes: Attributes, most: int | None, longest: int | None) -> Attributes:
    """Return attributes within limits; a copy, checked one by one, only where they might be beyond."""
    if longest is None and (most is None or len(attributes or ()) <= most):
        return attributes
    return BoundedAttributes(maxlen=most, attributes=attributes, immutable=True, max_value_len=longest)


class LightTracer(trace.Tracer):
    """Makes light spans."""

    def __init__(self, provider: LightProvider, scope: InstrumentationScope) -> None:
        self.provider = provider
        self.scope = scope

    def start_span(  # noqa: PLR0913, PLR0917 - the API's own signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Begin a span under the one of `context`, if the SDK's sampler wants it."""
        sdk = self.provider.sdk
        above = trace.get_current_span(context).get_span_context()
        parent = above if above.is_valid else None
        trace_id = parent.trace_id if parent else sdk.id_generator.generate_trace_id()
        span_id = sdk.id_generator.generate_span_id()
        random = parent.trace_flags & _RANDOM if parent else self.provider.random
        if sdk.sampler is DEFAULT_ON and (parent is None or parent.trace_flags.sampled):
            # What it would say; by far the most spans come this way.
            added, state, sampled = attributes, parent.trace_state if parent else None, _SAMPLED
        else:
            verdict = sdk.sampler.should_sample(context, trace_id, name, kind, attributes, links)
            added, state = verdict.attributes, verdict.trace_state
            sampled = _SAMPLED if verdict.decision is Decision.RECORD_AND_SAMPLE else 0
            if verdict.decision is Decision.DROP:
                return NonRecordingSpan(SpanContext(trace_id, span_id, False, _FLAGS[random], state))
        span = LightSpan(self, name, SpanContext(trace_id, span_id, False, _FLAGS[sampled | random], state), parent)
        span.kind = kind
        span.attributes.update(added or {})
        span.links = links or ()
        span.start_time = start_time or time.time_ns()
        return span

    def start_as_current_span(  # type: ignore[override]  # noqa: PLR0913, PLR0917 - the API's own signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Current:
        """Begin a span and make it the current one."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        return Current(span, end_on_exit, record_exception, set_status_on_exception)


class LightProvider(trace.TracerProvider):
    """Makes tracers; `sdk` decides and `sink` exports."""

    def __init__(self, sdk: SdkProvider, sink: BoundedSpans) -> None:
        self.sdk = sdk
        self.sink = sink
        self.limits = SpanLimits()
        self.random = _RANDOM if getattr(sdk.id_generator, "is_trace_id_random", bool)() else 0
        """What ids of traces that begin here say of themselves; generators of older SDKs say nothing."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer; one that does nothing where `OTEL_SDK_DISABLED` says so."""
        names = (instrumenting_module_name, instrumenting_library_version, schema_url)
        usual = self.sdk.get_tracer(*names, attributes)
        if isinstance(usual, trace.NoOpTracer):
            return usual
        return LightTracer(self, InstrumentationScope(*names, attributes))
