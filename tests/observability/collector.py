"""An OTLP collector of the tests: real HTTP, protobuf decoded by OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any

import anyio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


@dataclass(frozen=True)
class Seen:
    """One span as it came over the wire."""

    span: Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, Any]:
        return values(self.span.attributes)

    @property
    def events(self) -> list[str]:
        """What happened; a short wait for a slot is no matter on a loaded machine."""
        return [event.name for event in self.span.events if event.name != "router_mcp.queued"]


@dataclass
class Collector:
    """Takes what is exported to it."""

    spans: list[Seen] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Attributes of the data points of each metric."""

    def __post_init__(self) -> None:
        routes = [
            Route("/v1/traces", self._traces, methods=["POST"]),
            Route("/v1/metrics", self._metrics, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    async def trace(self, trace_id: str, names: set[str]) -> dict[str, list[Seen]]:
        """Wait until a trace has spans of these names; return its spans by name, the first first."""
        with anyio.fail_after(60):
            while True:
                own = [seen for seen in self.spans if seen.span.trace_id.hex() == trace_id]
                if names <= {seen.name for seen in own}:
                    break
                await anyio.sleep(0.05)
        own.sort(key=lambda seen: seen.span.start_time_unix_nano)
        return {name: [seen for seen in own if seen.name == name] for name in dict.fromkeys(seen.name for seen in own)}

    async def _traces(self, request: Request) -> Response:
        message = ExportTraceServiceRequest()
        message.ParseFromString(await _body(request))
        for resource in message.resource_spans:
            about = values(resource.resource.attributes)
            self.spans += [Seen(span, about) for scope in resource.scope_spans for span in scope.spans]
        return Response()

    async def _metrics(self, request: Request) -> Response:
        message = ExportMetricsServiceRequest()
        message.ParseFromString(await _body(request))
        for resource in message.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = self.metrics.setdefault(metric.name, [])
                    points += [values(point.attributes) for point in metric.histogram.data_points]
        return Response()


async def _body(request: Request) -> bytes:
    body = await request.body()
    return gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {pair.key: _value(pair.value) for pair in attributes if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))
