"""OpenTelemetry histograms that cost little to record; the SDK's exporter encodes and sends them.

A histogram of the SDK cleans, copies and hashes the attributes of every value that it is given: four values cost more
than the spans of a call (benchmarks/telemetry.py). Here attributes are settled once, and a value is an addition.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from router_mcp.telemetry.conventions import Attributes
from router_mcp.telemetry.instruments import Bind, Record, Shape


@dataclass(slots=True)
class _Series:
    """The values of one set of attributes since `begun`, Unix nanoseconds."""

    attributes: Attributes
    bounds: tuple[float, ...]
    lock: Lock
    begun: int
    counts: list[int] = field(init=False)
    total: float = field(init=False)
    least: float = field(init=False)
    most: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin(self.begun)

    def begin(self, now: int) -> None:
        self.begun, self.counts = now, [0] * (len(self.bounds) + 1)
        self.total, self.least, self.most = 0, math.inf, -math.inf

    def record(self, amount: float) -> None:
        with self.lock:
            self.counts[bisect_left(self.bounds, amount)] += 1
            self.total += amount
            self.least = min(self.least, amount)
            self.most = max(self.most, amount)

    def point(self, now: int) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=self.attributes,
            start_time_unix_nano=self.begun,
            time_unix_nano=now,
            count=sum(self.counts),
            sum=self.total,
            bucket_counts=tuple(self.counts),
            explicit_bounds=self.bounds,
            min=self.least,
            max=self.most,
        )


class LightHistograms:
    """Histograms of one resource; whoever exports them `collect`s."""

    def __init__(self, resource: Resource, *, delta: bool = False, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._resource = resource
        self._delta = delta
        self._now_ns = now_ns
        self._lock = Lock()
        self._series: dict[Shape, list[_Series]] = {}

    def histogram(self, shape: Shape) -> Bind:
        """Return what gives a recorder for a set of attributes; ask for each set once."""
        of_this = self._series.setdefault(shape, [])

        def bind(attributes: Attributes) -> Record:
            of_this.append(_Series(attributes, shape.bounds, self._lock, self._now_ns()))
            return of_this[-1].record

        return bind

    def collect(self) -> MetricsData | None:
        """Return what was recorded: since the last time if `delta`, else since the beginning; `None` for nothing."""
        with self._lock:
            metrics = [metric for shape, series in self._series.items() if (metric := self._metric(shape, series))]
        scope = ScopeMetrics(InstrumentationScope("router-mcp"), metrics, schema_url="")
        return MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")]) if metrics else None

    def _metric(self, shape: Shape, series: Sequence[_Series]) -> Metric | None:
        now = self._now_ns()
        heard = [each for each in series if any(each.counts)]
        points = [each.point(now) for each in heard]
        if self._delta:
            for each in heard:
                each.begin(now)
        temporality = AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        return Metric(shape.name, shape.description, shape.unit, Histogram(points, temporality)) if points else None


class Sending:
    """Sends histograms every `OTEL_METRIC_EXPORT_INTERVAL` milliseconds, and once more at the end."""

    def __init__(self, histograms: LightHistograms, exporter: MetricExporter, every_s: float) -> None:
        self._histograms = histograms
        self._exporter = exporter
        self._every_s = every_s
        self._over = Event()
        self._thread = Thread(target=self._run, name="router-mcp metrics", daemon=True)
        self._thread.start()

    def shutdown(self) -> None:
        """Send what is left, and end."""
        self._over.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self._send()
        self._send()

    def _send(self) -> None:
        if (found := self._histograms.collect()) is not None:
            self._exporter.export(found)
