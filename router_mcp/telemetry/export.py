"""Where spans and the GenAI client metrics go, as `LLM_TRACE_EXPORTER` and the standard `OTEL_*` variables say.

`none` (the default), `otlp` (http/protobuf) or `console`; any other value stops the start. A collector that is down
costs no call: spans wait in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`), what does not fit is dropped and counted,
and leaving takes at most `LEAVE_S`. The SDK and its exporters are imported only when they are wanted: they cost
100 ms of a start.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import TIMEOUT_MAX, Thread
from typing import TYPE_CHECKING

from router_mcp.errors import ConfigError
from router_mcp.telemetry.base import Telemetry
from router_mcp.telemetry.instruments import ClientMetrics, Histograms, SdkHistograms
from router_mcp.telemetry.tracing import Spans

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

    from router_mcp.telemetry.bounded import BoundedSpans
    from router_mcp.telemetry.light import LightProvider

EXPORTERS = ("none", "otlp", "console")
LEAVE_S = 1.5
"""The most that the last spans may hold up a server that leaves."""
_PROTOCOL = "http/protobuf"
_EXPONENTIAL = "base2_exponential_bucket_histogram"
_QUEUE, _INTERVAL_MS = 2048, 60_000
"""OpenTelemetry's own defaults."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """Client metrics that are sent until `shutdown`."""

    histograms: Histograms
    shutdown: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What the environment asked for, running."""

    tracers: LightProvider
    meters: Measuring | None
    spans: BoundedSpans

    def traces(self, *, content: bool) -> Telemetry:
        """Return the telemetry that makes a router's spans; with prompts and answers if `content`."""
        return Spans(self.tracers, content=content)

    def measures(self) -> tuple[Telemetry, ...]:
        """Return the telemetry that makes the client metrics, if they are wanted."""
        return (ClientMetrics(self.meters.histograms),) if self.meters else ()

    def drops(self) -> Mapping[str, int]:
        """Return how many spans were lost, by reason."""
        return self.spans.drops()

    def close(self, within_s: float = LEAVE_S) -> None:
        """Send what is left, for at most `within_s`; whatever a dead collector holds then ends with the process."""
        thread = Thread(target=self._shutdown, daemon=True)
        thread.start()
        thread.join(within_s)

    def _shutdown(self) -> None:
        self.spans.shutdown()
        if self.meters is not None:
            self.meters.shutdown()


def make_exports(environ: Mapping[str, str], *, service: str, version: str) -> Exports | None:
    """Return the exports that the environment asks for; `None` for none. Raises `ConfigError` for what it cannot do."""
    wanted = environ.get("LLM_TRACE_EXPORTER", "").strip() or "none"
    if wanted not in EXPORTERS:
        raise ConfigError(f"LLM_TRACE_EXPORTER is {wanted!r}. Set it to one of: {', '.join(EXPORTERS)}.")
    if wanted == "none":
        return None
    if wanted == "otlp":
        _check_protocol(environ)
    room, every_s = _queue_size(environ), _interval_s(environ)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see the module's docstring
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see the module's docstring

    from router_mcp.telemetry.bounded import BoundedSpans  # noqa: PLC0415 - see the module's docstring
    from router_mcp.telemetry.light import LightProvider  # noqa: PLC0415 - see the module's docstring

    names = {"service.version": version} | ({} if environ.get("OTEL_SERVICE_NAME") else {"service.name": service})
    resource = Resource.create(names)
    spans = BoundedSpans(_EXPORTERS[wanted](), room)
    sdk = TracerProvider(resource=resource, shutdown_on_exit=False)
    # Its own words come once a batch; BoundedSpans says it once.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    metered = wanted == "otlp" and environ.get("OTEL_METRICS_EXPORTER", "otlp") != "none" and not _disabled(environ)
    meters = _measuring(resource, environ, every_s) if metered else None
    gc.freeze()  # all this lives as long as the process: to look through it for garbage costs calls pauses
    return Exports(tracers=LightProvider(sdk, spans), meters=meters, spans=spans)


def _disabled(environ: Mapping[str, str]) -> bool:
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _check_protocol(environ: Mapping[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        asked = environ.get(name, _PROTOCOL)
        if asked not in {_PROTOCOL, ""}:
            remedy = f"Set it to {_PROTOCOL} and OTEL_EXPORTER_OTLP_ENDPOINT to the collector's HTTP port (4318)."
            raise ConfigError(f"{name} is {asked!r}, which is not spoken here. {remedy}")


def _queue_size(environ: Mapping[str, str]) -> int:
    asked = environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    if asked and not (asked.isdecimal() and int(asked) > 0):
        raise ConfigError(f"OTEL_BSP_MAX_QUEUE_SIZE is {asked!r}. Set it to a number of spans above 0.")
    return int(asked) if asked else _QUEUE


def _otlp() -> SpanExporter:
    from router_mcp.telemetry.otlp import LightExporter  # noqa: PLC0415 - see the module's docstring

    return LightExporter()


def _console() -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - see the module's docstring

    return ConsoleSpanExporter(out=sys.stderr)  # stdout is the protocol's


_EXPORTERS: Mapping[str, Callable[[], SpanExporter]] = {"otlp": _otlp, "console": _console}


def _measuring(resource: Resource, environ: Mapping[str, str], every_s: float) -> Measuring:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - see the module's docstring
        OTLPMetricExporter,
    )

    exporter = OTLPMetricExporter()
    if environ.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "").lower() == _EXPONENTIAL:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - see the module's docstring
        from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - see the module's docstring
            PeriodicExportingMetricReader,
        )

        provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource, shutdown_on_exit=False)
        return Measuring(SdkHistograms(provider), provider.shutdown)
    from router_mcp.telemetry.light_metrics import LightHistograms, Sending  # noqa: PLC0415 - see the module's docstring

    temporality = environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    histograms = LightHistograms(resource, delta=temporality in {"delta", "lowmemory"})
    return Measuring(histograms, Sending(histograms, exporter, every_s).shutdown)


def _interval_s(environ: Mapping[str, str]) -> float:
    asked = environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or str(_INTERVAL_MS)
    try:
        milliseconds = float(asked)
    except ValueError:
        milliseconds = 0.0
    if not milliseconds > 0:
        raise ConfigError(f"OTEL_METRIC_EXPORT_INTERVAL is {asked!r}. Set it to a number of milliseconds above 0.")
    return min(milliseconds / 1000, TIMEOUT_MAX)
