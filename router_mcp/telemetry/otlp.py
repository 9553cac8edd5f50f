"""Spans as OTLP's protobuf, written directly: the spans of a router look alike, and most of their bytes recur.

The SDK's encoder makes two objects for every attribute, which costs more than all else that tracing does
(benchmarks/telemetry.py). This one keeps the bytes of attributes that it has seen. What is out of the ordinary (links,
vendors' trace state, values that are neither plain nor lists of words, spans beyond the SDK's limits) still goes
through the SDK's encoder: messages of protobuf are joined by joining their bytes. Tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from router_mcp.telemetry.light import LightSpan, LightTracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
    from opentelemetry.util.types import AnyValue, Attributes

_NEVER_TWICE = {"router_mcp.request_id", "jsonrpc.request.id"}
_KEPT, _SHORT = 2048, 64
"""How many attributes are remembered, and the longest text that may be: prompts are not."""
_KINDS = {SpanKind.INTERNAL: 1, SpanKind.SERVER: 2, SpanKind.CLIENT: 3, SpanKind.PRODUCER: 4, SpanKind.CONSUMER: 5}
_TIMES, _TIME, _DOUBLE = Struct("<BQBQ"), Struct("<BQ"), Struct("<d")
_LOCAL_PARENT, _REMOTE_PARENT = b"\x85\x01\x00\x01\x00\x00", b"\x85\x01\x00\x03\x00\x00"
"""The field `flags`, which says whether the parent is in another process."""


class OddError(Exception):
    """A span is not one of those that are written here."""


class LightExporter(OTLPSpanExporter):
    """The SDK's exporter, for light spans; where to, how often to try and how to compress stays its business."""

    def send(self, spans: Sequence[LightSpan]) -> SpanExportResult:
        """Export spans."""
        client = getattr(self, "_client", None)  # what sends bytes in newer SDKs; others encode and send in one
        if client is None:
            return self.export([span.readable() for span in spans])
        return SpanExportResult.SUCCESS if client.export(encoded(spans)).success else SpanExportResult.FAILURE


def encoded(spans: Iterable[LightSpan]) -> bytes:
    """Return an `ExportTraceServiceRequest`. The spans have one provider, and so one resource."""
    alike: dict[LightTracer, list[bytes]] = {}
    samples: list[ReadableSpan] = []
    odd: list[ReadableSpan] = []
    for span in spans:
        try:
            written = _span(span)
        except OddError:
            odd.append(span.readable())
            continue
        if span.tracer not in alike:
            alike[span.tracer] = []
            samples.append(span.readable())
        alike[span.tracer].append(written)
    whole = _whole(samples, alike.values()) if alike else b""
    return whole + encode_spans(odd).SerializePartialToString() if odd else whole


def _whole(samples: Sequence[ReadableSpan], scopes: Iterable[Sequence[bytes]]) -> bytes:
    """Return the spans of each scope, with what the SDK's encoder says of a sample's resource and scope around them."""
    parts = []
    for sample, spans in zip(samples, scopes, strict=True):
        (around,) = encode_spans([sample]).resource_spans
        (scope,) = around.scope_spans
        del scope.spans[:]
        one = scope.SerializePartialToString() + b"".join([b"\x12" + _sized(span) for span in spans])
        parts.append(b"\x12" + _sized(one))
    del around.scope_spans[:]
    return b"\x0a" + _sized(around.SerializePartialToString() + b"".join(parts))


def _span(span: LightSpan) -> bytes:
    context, parent, limits = span.context, span.parent, span.tracer.provider.limits
    if span.links or context.trace_state or limits.max_span_attribute_length is not None:
        raise OddError
    status = span.status
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
        _named(span.name, span.kind),
        _TIMES.pack(0x39, span.start_time, 0x41, span.end_time),
        _attributes(b"\x4a", span.attributes, limits.max_span_attributes),
        *[_event(event, limits) for event in span.events],
        _ended(status.status_code.value, status.description),
        _REMOTE_PARENT if parent is not None and parent.is_remote else _LOCAL_PARENT,
    ]
    if parent is not None:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
    return b"".join(parts)


def _event(event: tuple[str, Attributes, int], limits: SpanLimits) -> bytes:
    name, about, at = event
    if limits.max_attribute_length is not None:
        raise OddError
    parts = (
        _TIME.pack(0x09, at),
        b"\x12",
        _text(name),
        _attributes(b"\x1a", about or {}, limits.max_event_attributes),
    )
    return b"\x5a" + _sized(b"".join(parts))


def _attributes(field: bytes, attributes: Mapping[str, AnyValue], most: int | None) -> bytes:
    if most is not None and len(attributes) > most:
        raise OddError
    parts = [b""]
    for key, value in attributes.items():
        if type(value) is str:
            parts.append(_text_pair(key, value) if key in _NEVER_TWICE or len(value) > _SHORT else _word(key, value))
        elif type(value) is float:
            parts.append(_number(key) + _DOUBLE.pack(value))
        elif type(value) is int:
            parts.append(_integer(key, value))
        else:
            parts.append(_other(key, value))
    return field.join(parts)


def _text_pair(key: str, value: str) -> bytes:
    return _sized(_key(key) + _sized(b"\x0a" + _text(value)))


_word = lru_cache(_KEPT)(_text_pair)


@lru_cache(_KEPT)
def _integer(key: str, value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise OddError
    return _sized(_key(key) + _sized(b"\x18" + _varint(value % 2**64)))


def _other(key: str, value: AnyValue) -> bytes:
    """Return an attribute that is a truth value or a list of words. Raises `OddError` for anything else."""
    if isinstance(value, bool):
        return _sized(_key(key) + (b"\x02\x10\x01" if value else b"\x02\x10\x00"))
    if isinstance(value, list | tuple) and all(type(each) is str for each in value):
        return _words(key, tuple(value))
    raise OddError


@lru_cache(_KEPT)
def _words(key: str, value: tuple[str, ...]) -> bytes:
    items = b"".join([b"\x0a" + _sized(b"\x0a" + _text(each)) for each in value])
    return _sized(_key(key) + _sized(b"\x2a" + _sized(items)))


@lru_cache(_KEPT)
def _key(key: str) -> bytes:
    """Return an attribute's key, and the tag of the value that follows."""
    return b"\x0a" + _text(key) + b"\x12"


@lru_cache(_KEPT)
def _number(key: str) -> bytes:
    """Return an attribute without the eight bytes of its number at the end."""
    pair = _key(key) + b"\x09\x21"
    return _varint(len(pair) + _DOUBLE.size) + pair


@lru_cache(_KEPT)
def _named(name: str, kind: SpanKind) -> bytes:
    return b"\x2a" + _text(name) + b"\x30" + _varint(_KINDS[kind])


@lru_cache(_KEPT)
def _ended(code: int, description: str | None) -> bytes:
    said = b"\x12" + _text(description) if description else b""
    return b"\x7a" + _sized(said + b"\x18" + _varint(code))


def _text(text: str) -> bytes:
    try:
        return _sized(text.encode())
    except UnicodeEncodeError:
        raise OddError from None


def _sized(body: bytes) -> bytes:
    return _varint(len(body)) + body


def _varint(number: int) -> bytes:
    if number < 0x80:
        return number.to_bytes(1, "big")
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
