"""Metrics and spans say what happened, under the names that are promised, and never hold a text."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.parser import text_string_to_metric_families

from embeddings_mcp.domain import EmbedRequest
from embeddings_mcp.prober import Prober
from embeddings_mcp.telemetry.base import BatchEnded, BatchStarted, CallEnded, FellBack, Listeners
from embeddings_mcp.telemetry.call_log import CallLog
from embeddings_mcp.telemetry.metrics import Metrics
from embeddings_mcp.telemetry.spans import Spans
from router_mcp.domain import Endpoint
from router_mcp.errors import UnreachableError
from tests.unit.embeddings.fakes import Ear, world

STARTED = BatchStarted(
    request_id="id",
    model="m",
    served_name="served",
    kind="ollama",
    endpoint=Endpoint(runtime="a", url="http://127.0.0.1:11434"),
    texts=3,
)
ENDED = CallEnded(
    request_id="id", operation="embed", model="m", outcome="ok", seconds=0.2, texts=5, input_tokens=7, cache_hits=2
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_calls_are_counted_by_model_and_outcome() -> None:
    metrics = Metrics()
    metrics.tell(ENDED)
    metrics.tell(CallEnded(request_id="id", operation="rank", model="m", outcome="busy", seconds=1, texts=9))
    found = samples(metrics)
    model = ("model", "m")
    assert found["embeddings_mcp_requests_total", (model, ("outcome", "ok"))] == 1
    assert found["embeddings_mcp_requests_total", (model, ("outcome", "busy"))] == 1
    assert found["embeddings_mcp_texts_total", (model,)] == 5
    assert found["embeddings_mcp_tokens_total", (model,)] == 7
    assert found["embeddings_mcp_cache_hits_total", (model,)] == 2
    assert found["embeddings_mcp_request_duration_seconds_count", (model,)] == 2
    assert found["embeddings_mcp_request_duration_seconds_sum", (model,)] == pytest.approx(1.2)


def test_batches_and_fallbacks_are_counted() -> None:
    metrics = Metrics()
    assert metrics.started(STARTED) is None
    metrics.tell(BatchEnded(started=STARTED, seconds=1, served=True))
    metrics.tell(BatchEnded(started=STARTED, seconds=1, error=UnreachableError("down.")))
    metrics.tell(BatchEnded(started=STARTED, seconds=1))
    metrics.tell(FellBack(model="m", to="n", reason="unreachable"))
    found = samples(metrics)
    for outcome in ("ok", "unreachable", "cancelled"):
        labels = (("backend", "a"), ("model", "m"), ("outcome", outcome))
        assert found["embeddings_mcp_batches_total", labels] == 1
    assert found["embeddings_mcp_fallbacks_total", (("from", "m"), ("reason", "unreachable"), ("to", "n"))] == 1


@pytest.mark.anyio
async def test_gauges_show_how_endpoints_stand_at_the_moment_of_the_scrape() -> None:
    sut, metrics = world(), Metrics()
    metrics.watch(sut.embedder.dispatch)
    await Prober(sut.embedder).probe_all()
    found = samples(metrics)
    place = (("backend", "a"), ("endpoint", "http://127.0.0.1:1"))
    assert found["embeddings_mcp_endpoint_state", (*place, ("state", "healthy"))] == 1
    assert found["embeddings_mcp_endpoint_state", (*place, ("state", "demoted"))] == 0
    assert found["embeddings_mcp_in_flight", place] == 0
    assert found["embeddings_mcp_queue_depth", (("backend", "a"),)] == 0


def traced() -> tuple[Spans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider.get_tracer("test")), exporter


def test_a_batch_is_a_client_span_by_the_genai_conventions() -> None:
    spans, exporter = traced()
    traceparent = spans.started(STARTED)
    spans.tell(BatchEnded(started=STARTED, seconds=1, served=True, input_tokens=9))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("embeddings served", SpanKind.CLIENT)
    assert span.attributes is not None
    assert span.attributes["gen_ai.operation.name"] == "embeddings"
    assert span.attributes["gen_ai.provider.name"] == "ollama"
    assert span.attributes["gen_ai.request.model"] == "served"
    assert span.attributes["gen_ai.usage.input_tokens"] == 9
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("127.0.0.1", 11434)
    assert span.context is not None
    assert (traceparent or "")[:-3] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}"


@pytest.mark.parametrize(("error", "kind"), [(UnreachableError("down."), "unreachable"), (None, "cancelled")])
def test_a_batch_that_was_not_served_is_an_error_span(error: UnreachableError | None, kind: str) -> None:
    spans, exporter = traced()
    spans.started(STARTED)
    spans.tell(BatchEnded(started=STARTED, seconds=1, error=error))
    spans.tell(ENDED)
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == kind


def test_a_backend_in_this_process_has_no_address() -> None:
    spans, exporter = traced()
    inside = BatchStarted(
        request_id="id",
        model="m",
        served_name="m",
        kind="wordllama",
        endpoint=Endpoint(runtime="w", url="in-process"),
        texts=1,
    )
    spans.started(inside)
    spans.tell(BatchEnded(started=inside, seconds=1, served=True))
    assert "server.address" not in (exporter.get_finished_spans()[0].attributes or {})


@pytest.mark.anyio
async def test_every_listener_hears_and_the_first_trace_counts() -> None:
    ears = Ear(), Ear(traceparent="00-a"), Ear(traceparent="00-b")
    listeners = Listeners(ears)
    assert listeners.started(STARTED) == "00-a"
    listeners.tell(ENDED)
    assert [ear.events for ear in ears] == [[ENDED]] * 3


@pytest.mark.anyio
async def test_no_text_is_ever_told() -> None:
    sut = world()
    await sut.embedder.embed(EmbedRequest(texts=("a secret",)))
    assert "secret" not in repr((sut.ear.starts, sut.ear.events))


def test_a_call_has_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = CallLog()
    assert log.started(STARTED) is None
    with caplog.at_level("INFO"):
        log.tell(ENDED)
        log.tell(FellBack(model="m", to="n", reason="x"))
    (record,) = caplog.records
    assert record.getMessage().startswith("call request_id=id operation=embed outcome=ok model=m texts=5 seconds=0.2")
    assert vars(record)["input_tokens"] == 7
