"""Spans are written as OTLP's protobuf byte by byte; OpenTelemetry's own encoder says what must come out."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from router_mcp.telemetry.bounded import BoundedSpans
from router_mcp.telemetry.light import LightProvider, LightSpan
from router_mcp.telemetry.otlp import LightExporter, encoded


class Kept(LightExporter):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.spans: list[LightSpan] = []

    def send(self, spans: Sequence[LightSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class Traced:
    """A provider, and the spans that ended."""

    def __init__(self) -> None:
        self.exporter = Kept()
        self.queue = BoundedSpans(self.exporter, room=1000)
        sdk = TracerProvider(resource=Resource({"service.name": "r"}, "https://schema"), shutdown_on_exit=False)
        self.provider = LightProvider(sdk, self.queue)

    def spans(self) -> list[LightSpan]:
        self.queue.shutdown()
        return self.exporter.spans


def sent(spans: Sequence[LightSpan]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(encoded(spans))
    return request


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
values = text | numbers | st.lists(text, max_size=3) | st.lists(numbers, max_size=2) | st.just(b"bytes")
attributes = st.dictionaries(text.filter(bool) | st.just("router_mcp.request_id"), values, max_size=6)
callers = st.none() | st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(TraceFlags.SAMPLED)),
)
statuses = st.none() | st.tuples(st.sampled_from(StatusCode), st.none() | text)


@given(
    name=text,
    kind=st.sampled_from(SpanKind),
    about=attributes,
    events=st.lists(st.tuples(text, st.none() | attributes, st.integers(1, 2**63)), max_size=2),
    status=statuses,
    caller=callers,
)
def test_the_bytes_of_a_span_mean_what_the_sdks_mean(
    name: str, kind: SpanKind, about: Any, events: Any, status: Any, caller: SpanContext | None
) -> None:
    traced = Traced()
    context = set_span_in_context(NonRecordingSpan(caller)) if caller else None
    span = traced.provider.get_tracer("scope", "1").start_span(name, context, kind, about, start_time=5)
    for event in events:
        span.add_event(*event)
    if status is not None and (status[0] is StatusCode.ERROR or status[1] is None):
        span.set_status(*status)
    span.end(2**63)
    spans = traced.spans()
    assert sent(spans) == encode_spans([each.readable() for each in spans])


def test_spans_of_several_tracers_share_one_resource() -> None:
    traced = Traced()
    for number in range(3):
        traced.provider.get_tracer("first").start_span(f"a-{number}").end()
    traced.provider.get_tracer("second", "2", "https://scope").start_span("b").end()
    (resource,) = sent(traced.spans()).resource_spans
    assert resource.schema_url == "https://schema"
    assert [pair.value.string_value for pair in resource.resource.attributes] == ["r"]
    names = {scope.scope.name: [span.name for span in scope.spans] for scope in resource.scope_spans[-2:]}
    assert names["second"] == ["b"]
    assert sum(len(scope.spans) for scope in resource.scope_spans) == 4
    assert resource.scope_spans[-1].schema_url == "https://scope"


def test_what_is_out_of_the_ordinary_travels_along() -> None:
    traced = Traced()
    tracer = traced.provider.get_tracer("scope")
    usual = tracer.start_span("usual")
    stated = SpanContext(1, 2, True, TraceFlags(1), TraceState([("vendor", "x")]))
    tracer.start_span("linked", links=[Link(usual.get_span_context())]).end()
    tracer.start_span("stated", set_span_in_context(NonRecordingSpan(stated))).end()
    tracer.start_span("huge", attributes={"number": 2**70}).end()
    tracer.start_span("torn", attributes={"text": "\ud800", "left": "x"}).end()
    tracer.start_span("many", attributes={f"key-{number}": number for number in range(200)}).end()
    crowded = tracer.start_span("crowded")
    crowded.add_event("many", {f"key-{number}": number for number in range(200)})
    crowded.end()
    usual.end()
    spans = {
        span.name: span
        for resource in sent(traced.spans()).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert set(spans) == {"usual", "linked", "stated", "huge", "torn", "many", "crowded"}
    assert spans["linked"].links[0].span_id == spans["usual"].span_id
    assert spans["stated"].trace_state == "vendor=x"
    assert [pair.key for pair in spans["torn"].attributes] == ["left"]
    assert (len(spans["many"].attributes), spans["many"].dropped_attributes_count) == (128, 72)
    assert len(spans["crowded"].events[0].attributes) == 128


def test_limits_on_the_length_of_texts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    traced = Traced()
    span = traced.provider.get_tracer("scope").start_span("x", attributes={"key": "abcdef"})
    span.add_event("event", {"key": "abcdef"})
    span.end()
    found = sent(traced.spans()).resource_spans[0].scope_spans[0].spans[0]
    assert found.attributes[0].value.string_value == "abc"
    assert found.events[0].attributes[0].value.string_value == "abc"


def test_no_spans_are_an_empty_request() -> None:
    assert encoded([]) == b""


@pytest.mark.parametrize(("took", "result"), [(True, SpanExportResult.SUCCESS), (False, SpanExportResult.FAILURE)])
def test_the_sdks_exporter_sends_the_bytes(took: bool, result: SpanExportResult) -> None:
    posted: list[bytes] = []

    def post(data: bytes) -> SimpleNamespace:
        posted.append(data)
        return SimpleNamespace(success=took)

    traced = Traced()
    traced.provider.get_tracer("scope").start_span("x").end()
    exporter = LightExporter(endpoint="http://127.0.0.1:9/v1/traces")
    assert hasattr(exporter, "_client"), "the SDK moved what sends bytes; spans then go through its own encoder"
    vars(exporter)["_client"] = SimpleNamespace(export=post)
    spans = traced.spans()
    assert exporter.send(spans) is result
    assert posted == [encoded(spans)]


def test_an_sdk_that_sends_otherwise_is_given_its_own_spans() -> None:
    class Older(LightExporter):
        def __init__(self) -> None:
            self.names: list[str] = []

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.names += [span.name for span in spans]
            return SpanExportResult.SUCCESS

    traced, older = Traced(), Older()
    traced.provider.get_tracer("scope").start_span("x").end()
    assert older.send(traced.spans()) is SpanExportResult.SUCCESS
    assert older.names == ["x"]
