"""Where traces go is checked at the start; a collector that is down costs spans, which are counted, and no call."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from router_mcp.errors import ConfigError
from router_mcp.telemetry.bounded import BoundedSpans
from router_mcp.telemetry.current import Current
from router_mcp.telemetry.export import make_exports
from router_mcp.telemetry.light import LightProvider, LightSpan


@pytest.mark.parametrize("wanted", ["jaeger", "OTLP", "none,otlp"])
def test_an_unknown_exporter_stops_the_start(wanted: str) -> None:
    with pytest.raises(ConfigError, match="none, otlp, console"):
        make_exports({"LLM_TRACE_EXPORTER": wanted}, service="s", version="0")


@pytest.mark.parametrize("environ", [{}, {"LLM_TRACE_EXPORTER": ""}, {"LLM_TRACE_EXPORTER": "none"}])
def test_no_exporter_means_no_exports(environ: dict[str, str]) -> None:
    assert make_exports(environ, service="s", version="0") is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "http/protobuf"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "above 0"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "above 0"),
    ],
)
def test_a_wish_that_cannot_be_met_stops_the_start(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_exports({"LLM_TRACE_EXPORTER": "otlp", **environ}, service="s", version="0")


@pytest.mark.parametrize(("wanted", "metered"), [("otlp", True), ("console", False)])
def test_an_exporter_gets_a_provider_with_the_service_name(wanted: str, metered: bool) -> None:
    exports = make_exports({"LLM_TRACE_EXPORTER": wanted}, service="router-mcp", version="1")
    assert exports is not None
    assert exports.tracers.sdk.resource.attributes["service.name"] == "router-mcp"
    assert exports.tracers.sdk.resource.attributes["service.version"] == "1"
    assert (exports.meters is not None) is metered
    assert len(exports.measures()) == metered
    exports.close()


def test_the_standard_variables_name_the_service_and_switch_metrics_off(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"LLM_TRACE_EXPORTER": "otlp", "OTEL_SERVICE_NAME": "mine", "OTEL_METRICS_EXPORTER": "none"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    exports = make_exports(environ, service="router-mcp", version="1")
    assert exports is not None
    assert exports.tracers.sdk.resource.attributes["service.name"] == "mine"
    assert exports.meters is None
    exports.close()


def test_the_console_exporter_leaves_stdout_to_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    exports = make_exports({"LLM_TRACE_EXPORTER": "console"}, service="router-mcp", version="1")
    assert exports is not None
    exports.tracers.get_tracer("test").start_span("chat big").end()
    exports.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert "chat big" in said.err
    assert sys.stdout is not sys.stderr


class Collector(SpanExporter):
    """Takes spans when it is let, and answers as it is told."""

    def __init__(self, *, open_at_once: bool = True) -> None:
        self.gate = threading.Event()
        self.works = True
        self.spans: list[str] = []
        self.whole: list[ReadableSpan] = []
        self.entered = threading.Event()
        if open_at_once:
            self.gate.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.gate.wait(10)
        self.spans += [span.name for span in spans]
        self.whole += spans
        return SpanExportResult.SUCCESS if self.works else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.gate.set()


def tracing(spans: BoundedSpans, sampler: Sampler = ALWAYS_ON) -> LightProvider:
    return LightProvider(TracerProvider(sampler=sampler, shutdown_on_exit=False), spans)


def make_spans(provider: LightProvider, count: int) -> None:
    for number in range(count):
        provider.get_tracer("test").start_span(f"span-{number}").end()


def test_what_does_not_fit_the_queue_is_dropped_and_counted() -> None:
    collector = Collector(open_at_once=False)
    spans = BoundedSpans(collector, room=8)
    provider = tracing(spans)
    make_spans(provider, 2)
    assert collector.entered.wait(5)  # two spans are the batch that the collector holds
    make_spans(provider, 11)
    assert spans.drops() == {"queue_full": 3, "export_failed": 0}
    collector.gate.set()
    spans.shutdown()
    assert len(collector.spans) == 10


def test_failures_are_counted_and_said_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.works = False
    spans = BoundedSpans(collector, room=100)
    provider = tracing(spans)
    with caplog.at_level(logging.INFO, logger="router_mcp"):
        for _ in range(3):
            make_spans(provider, 2)
            spans.force_flush()
        collector.works = True
        make_spans(provider, 1)
        spans.force_flush()
    assert spans.drops() == {"queue_full": 0, "export_failed": 6}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "6 spans were lost" in caplog.text
    spans.shutdown()


def test_spans_that_are_not_sampled_take_no_room() -> None:
    collector = Collector()
    spans = BoundedSpans(collector, room=1)
    provider = tracing(spans, ALWAYS_OFF)
    make_spans(provider, 5)
    spans.shutdown()
    assert spans.drops() == {"queue_full": 0, "export_failed": 0}
    assert collector.spans == []


def test_a_light_span_becomes_what_the_sdk_would_have_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    collector = Collector()
    spans = BoundedSpans(collector, room=10)
    tracer = tracing(spans).get_tracer("test", "1")
    boom = pytest.raises(RuntimeError, match="boom")
    with boom, tracer.start_as_current_span("outer", attributes={"long": "abcdefgh"}) as outer:
        tracer.start_span("inner").end()
        outer.update_name("renamed")
        raise RuntimeError("boom")
    outer.set_attribute("late", 1)
    outer.set_attributes({"late": 1})
    outer.add_event("late")
    outer.set_status(StatusCode.OK)
    outer.end()
    spans.shutdown()
    inner, renamed = collector.whole
    assert (inner.name, renamed.name) == ("inner", "renamed")
    assert inner.parent is not None
    assert renamed.context is not None
    assert inner.parent.span_id == renamed.context.span_id
    assert renamed.parent is None
    assert dict(renamed.attributes or {}) == {"long": "abcde"}
    assert [event.name for event in renamed.events] == ["exception"]
    assert renamed.status.status_code is StatusCode.ERROR
    assert not outer.is_recording()
    assert renamed.start_time is not None
    assert renamed.end_time is not None
    assert renamed.start_time <= renamed.end_time
    assert renamed.instrumentation_scope is not None
    assert renamed.instrumentation_scope.name == "test"


def test_a_good_status_is_final_and_links_and_times_are_kept() -> None:
    collector = Collector()
    spans = BoundedSpans(collector, room=10)
    tracer = tracing(spans).get_tracer("test")
    first = tracer.start_span("first")
    second = tracer.start_span("second", links=[Link(first.get_span_context())], start_time=5)
    second.set_status(Status(StatusCode.OK))
    second.set_status(StatusCode.ERROR, "no")
    second.end(end_time=9)
    spans.shutdown()
    (seen,) = collector.whole
    assert (seen.start_time, seen.end_time) == (5, 9)
    assert seen.status.status_code is StatusCode.OK
    assert [link.context for link in seen.links] == [first.get_span_context()]


def test_a_disabled_sdk_makes_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = tracing(BoundedSpans(Collector(), room=10)).get_tracer("test")
    assert not tracer.start_span("x").is_recording()


@pytest.mark.parametrize(
    "sampler", [DEFAULT_ON, DEFAULT_OFF, ALWAYS_ON, ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.0))]
)
@pytest.mark.parametrize("flags", [None, TraceFlags(0), TraceFlags(1)])
def test_the_samplers_verdict_is_the_sdks(sampler: Sampler, flags: TraceFlags | None) -> None:
    stated = TraceState([("vendor", "x")])
    caller = SpanContext(1, 2, is_remote=True, trace_flags=flags, trace_state=stated) if flags is not None else None
    context = set_span_in_context(NonRecordingSpan(caller)) if caller else None
    queue = BoundedSpans(Collector(), room=10)
    ours = tracing(queue, sampler).get_tracer("test").start_span("x", context)
    theirs = TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("test").start_span("x", context)
    assert ours.is_recording() is theirs.is_recording()
    found, expected = ours.get_span_context(), theirs.get_span_context()
    assert found.trace_flags == expected.trace_flags
    assert found.trace_state == expected.trace_state
    assert (found.trace_id == 1) is (caller is not None)
    queue.shutdown()


def test_a_block_may_leave_its_span_open_and_its_error_unsaid() -> None:
    queue = BoundedSpans(Collector(), room=10)
    tracer = tracing(queue).get_tracer("test")
    quiet = partial(tracer.start_as_current_span, record_exception=False, set_status_on_exception=False)
    with suppress(RuntimeError), quiet("x", end_on_exit=False) as span:
        assert get_current_span() is span
        raise RuntimeError("boom")
    assert get_current_span() is not span
    assert span.is_recording()
    assert isinstance(span, LightSpan)
    assert (span.events, span.status.status_code) == ([], StatusCode.UNSET)
    span.end()
    with pytest.raises(RuntimeError, match="late"), use(span):
        raise RuntimeError("late")
    assert span.events == []
    queue.shutdown()


def use(span: Span) -> Current:
    return Current(span, ends=True, records=True, states=True)
