"""Histograms that cost little count like the SDK's, and are sent as often as OpenTelemetry's variables say."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource

from router_mcp.domain import GenerateRequest
from router_mcp.errors import BrokenStreamError, ConfigError
from router_mcp.telemetry.export import make_exports
from router_mcp.telemetry.instruments import ClientMetrics, Histograms, SdkHistograms, Shape
from router_mcp.telemetry.light_metrics import LightHistograms, Sending
from tests.houses import open_house
from tests.scripted import ScriptedRuntime, fails

SHAPE = Shape("seconds", "s", "How long.", (0.1, 1.0, 10.0))
OTLP = {"LLM_TRACE_EXPORTER": "otlp"}


def light(*, delta: bool = False) -> LightHistograms:
    return LightHistograms(Resource({"service.name": "r"}), delta=delta)


def points(data: MetricsData | None) -> dict[str, list[HistogramDataPoint]]:
    found: dict[str, list[HistogramDataPoint]] = {}
    if data is not None:
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            assert isinstance(metric.data, Histogram)
            found[metric.name] = list(metric.data.data_points)
    return found


def facts(point: HistogramDataPoint) -> tuple[Any, ...]:
    counts = (point.count, point.sum, point.min, point.max)
    return (dict(point.attributes or {}), *counts, list(point.bucket_counts), list(point.explicit_bounds))


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0, 0.1, 0.5, 1, 7, 11.5])), min_size=1))
def test_values_are_counted_as_the_sdk_counts_them(values: list[tuple[str, float]]) -> None:
    reader = InMemoryMetricReader()
    ours, theirs = light(), SdkHistograms(MeterProvider([reader], shutdown_on_exit=False))
    for histograms in (ours, theirs):
        bind = histograms.histogram(SHAPE)
        recorders = {name: bind({"model": name}) for name in ("a", "b")}
        for name, value in values:
            recorders[name](value)
    found, expected = points(ours.collect())["seconds"], points(reader.get_metrics_data())["seconds"]
    by_name = sorted(map(facts, found), key=str)
    assert by_name == sorted(map(facts, expected), key=str)


def test_cumulative_values_add_up_and_deltas_begin_anew() -> None:
    for delta, sums in ((False, [2.0, 5.0]), (True, [2.0, 3.0])):
        histograms = light(delta=delta)
        record = histograms.histogram(SHAPE)({})
        seen = []
        for value in (2.0, 3.0):
            record(value)
            data = histograms.collect()
            assert data is not None
            metric = data.resource_metrics[0].scope_metrics[0].metrics[0]
            assert isinstance(metric.data, Histogram)
            assert (metric.data.aggregation_temporality is AggregationTemporality.DELTA) is delta
            seen.append(metric.data.data_points[0])
        assert [point.sum for point in seen] == sums
        assert (seen[1].start_time_unix_nano == seen[0].time_unix_nano) is delta
        assert (histograms.collect() is None) is delta


def test_nothing_recorded_is_nothing_to_send() -> None:
    histograms = light()
    histograms.histogram(SHAPE)({})
    assert histograms.collect() is None


class Kept(MetricExporter):
    """Keeps the sums that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: list[float] = []
        self.heard = Event()
        self.ended = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        self.sums += [point.sum for each in points(metrics_data).values() for point in each]
        self.heard.set()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        self.ended = True


def test_values_are_sent_time_and_again() -> None:
    histograms, exporter = light(), Kept()
    histograms.histogram(SHAPE)({})(2.0)
    sending = Sending(histograms, exporter, every_s=0.001)
    assert exporter.heard.wait(10)
    sending.shutdown()
    assert set(exporter.sums) == {2.0}


def test_the_last_values_are_sent_at_the_end() -> None:
    histograms, exporter = light(), Kept()
    sending = Sending(histograms, exporter, every_s=3600)
    histograms.histogram(SHAPE)({})(2.0)
    sending.shutdown()
    assert exporter.sums == [2.0]
    assert exporter.ended


@pytest.mark.anyio
async def test_the_client_metrics_are_the_same_from_both() -> None:
    reader = InMemoryMetricReader()
    ours = light()
    found: list[dict[str, set[str]]] = []
    each: tuple[Histograms, ...] = (ours, SdkHistograms(MeterProvider([reader], shutdown_on_exit=False)))
    for histograms in each:
        cut = ScriptedRuntime(fails(BrokenStreamError("cut"), after_text="half"))
        async with open_house(telemetry=ClientMetrics(histograms), gpu=cut) as house:
            for _ in range(2):
                await house.router.generate(GenerateRequest(prompt="x", task="reasoning"))
    for data in (ours.collect(), reader.get_metrics_data()):
        series = points(data)
        found.append({name: {f"{facts(point)[:2]}" for point in series[name]} for name in series})
    assert found[0] == found[1]
    assert set(found[0]) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }


@pytest.mark.parametrize("interval", ["often", "0", "-1"])
def test_an_interval_that_is_none_stops_the_start(interval: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_METRIC_EXPORT_INTERVAL"):
        make_exports({**OTLP, "OTEL_METRIC_EXPORT_INTERVAL": interval}, service="s", version="0")


def test_who_wants_exponential_buckets_gets_the_sdks_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    name, wanted = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"
    monkeypatch.setenv(name, wanted)
    exports = make_exports({**OTLP, name: wanted}, service="s", version="0")
    assert exports is not None
    assert exports.meters is not None
    assert isinstance(exports.meters.histograms, SdkHistograms)
    exports.close()


def test_a_disabled_sdk_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    exports = make_exports({**OTLP, "OTEL_SDK_DISABLED": "true"}, service="s", version="0")
    assert exports is not None
    assert exports.meters is None
    exports.close()
