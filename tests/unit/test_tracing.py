"""What a trace shows: one CLIENT span per attempt by the GenAI conventions, under the span of the call."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from router_mcp.domain import GenerateRequest, JsonSchema
from router_mcp.errors import BrokenStreamError, NoRuntimeError
from router_mcp.telemetry.base import Listeners
from router_mcp.telemetry.instruments import ClientMetrics, SdkHistograms
from router_mcp.telemetry.tracing import Spans
from tests.houses import House, open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="secret prompt", task="reasoning")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@asynccontextmanager
async def traced(content: bool = False, **parts: Any) -> AsyncGenerator[tuple[House, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with open_house(telemetry=Listeners((Spans(provider, content=content),)), **parts) as house:
        with provider.get_tracer("client").start_as_current_span("tools/call generate"):
            yield house, exporter


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_each_attempt_is_one_client_span_by_the_genai_conventions() -> None:
    async with traced(gpu=ScriptedRuntime(fails(BrokenStreamError("cut"), after_text="half"))) as (house, exporter):
        await house.router.generate(ASK)
        first, second = exporter.get_finished_spans()
    assert (first.name, second.name) == ("chat big", "chat small")
    assert first.kind is second.kind is trace.SpanKind.CLIENT
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id == second.context.trace_id
    assert attributes(first)["error.type"] == "broken_stream"
    assert first.events[0].name == "router_mcp.first_token"
    found = attributes(second)
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.usage.output_tokens"] == 3
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["server.address"] == "laptop"
    assert "error.type" not in found


async def test_the_trace_goes_to_the_runtime_and_prompts_do_not_go_into_the_trace() -> None:
    async with traced() as (house, exporter):
        await house.router.generate(ASK)
        span = exporter.get_finished_spans()[0]
        assert span.context is not None
        assert f"{span.context.trace_id:032x}-{span.context.span_id:016x}" in (house.gpu.calls[0].traceparent or "")
    assert "secret" not in json.dumps({key: str(item) for key, item in attributes(span).items()})


async def test_content_is_recorded_only_when_asked_for_and_in_the_conventions_structure() -> None:
    async with traced(content=True) as (house, exporter):
        await house.router.generate(ASK)
        found = attributes(exporter.get_finished_spans()[0])
    asked, said = json.loads(str(found["gen_ai.input.messages"])), json.loads(str(found["gen_ai.output.messages"]))
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": "secret prompt"}]}]
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "hello from here"}], "finish_reason": "stop"}
    assert said == [answer]


async def test_a_cancelled_attempt_ends_its_span() -> None:
    async with traced(gpu=ScriptedRuntime(hangs())) as (house, exporter):
        with anyio.move_on_after(1):
            await house.router.generate(ASK)
        assert [attributes(span)["error.type"] for span in exporter.get_finished_spans()] == ["cancelled"]


async def test_the_first_token_stands_at_its_own_time() -> None:
    async with traced(gpu=ScriptedRuntime(says("a b c", after_s=0.5, each_s=2))) as (house, exporter):
        await house.router.generate(ASK)
        span = exporter.get_finished_spans()[0]
    assert span.start_time is not None
    assert (span.events[0].timestamp - span.start_time) / 1e9 == pytest.approx(0.5, abs=0.05)
    assert attributes(span)["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.5, abs=0.05)


async def test_the_calls_own_span_tells_the_wait_the_fallback_and_what_came_of_it() -> None:
    async with traced(gpu=ScriptedRuntime(in_turn(says("x", after_s=2), REFUSES)), concurrency=1) as (house, _):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            await anyio.sleep(0.5)
            await house.router.generate(ASK)
        current = trace.get_current_span()
        assert isinstance(current, ReadableSpan)
        events = {event.name: dict(event.attributes or {}) for event in current.events}
        found = attributes(current)
    assert events["router_mcp.queued"]["router_mcp.queue.wait_s"] == pytest.approx(1.5, abs=0.1)
    assert events["router_mcp.fallback"] == {
        "router_mcp.from": "big",
        "router_mcp.to": "small",
        "error.type": "unreachable",
    }
    assert found["router_mcp.outcome"] == "ok"
    assert found["router_mcp.fallback_from"] == ("big",)
    assert found["router_mcp.attempts"] == 2


async def test_a_repair_is_an_event_and_two_attempts() -> None:
    gpu = ScriptedRuntime(in_turn(says("no json"), says("{}")))
    async with traced(gpu=gpu) as (house, exporter):
        await house.router.generate(GenerateRequest(prompt="x", constraint=JsonSchema({"type": "object"})))
        first, second = exporter.get_finished_spans()
        current = trace.get_current_span()
        assert isinstance(current, ReadableSpan)
        assert [event.name for event in current.events] == ["router_mcp.repair"]
    assert attributes(first)["error.type"] == "output_invalid"
    assert attributes(first)["gen_ai.output.type"] == "json"
    assert attributes(second)["router_mcp.attempt"] == 2


async def test_a_call_that_nobody_serves_says_so_on_its_span() -> None:
    down = ScriptedRuntime(REFUSES)
    async with traced(gpu=down, laptop=down) as (house, _):
        with pytest.raises(NoRuntimeError):
            await house.router.generate(ASK)
        current = trace.get_current_span()
        assert isinstance(current, ReadableSpan)
        assert attributes(current)["router_mcp.outcome"] == "backend_unavailable"


async def test_seeds_and_stops_are_attributes_and_ports_are_always_there() -> None:
    async with traced() as (house, exporter):
        await house.router.generate(GenerateRequest(prompt="x", seed=7, stop=("END",)))
        found = attributes(exporter.get_finished_spans()[0])
    assert found["gen_ai.request.seed"] == 7
    assert found["gen_ai.request.stop_sequences"] == ("END",)
    assert found["server.port"] == 80


async def test_a_traceparent_without_an_exporter_still_reaches_the_runtime_and_the_receipt() -> None:
    async with open_house() as house:
        result = await house.router.generate(
            GenerateRequest(prompt="hi", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
        )
        assert TRACE in (house.gpu.calls[0].traceparent or "")
    assert result.receipt.trace_id == TRACE


async def test_a_library_without_a_current_span_joins_the_callers_trace() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with open_house(telemetry=Spans(provider, content=False)) as house:
        await house.router.generate(GenerateRequest(prompt="hi", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"))
    span = exporter.get_finished_spans()[0]
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE


async def test_a_trace_that_is_not_sampled_costs_no_content_and_still_reaches_the_runtime() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    async with open_house(telemetry=Spans(provider, content=True)) as house:
        await house.router.generate(ASK)
        flags = (house.gpu.calls[0].traceparent or "").rpartition("-")[2]
    assert int(flags, 16) & 1 == 0


async def test_the_client_metrics_are_those_of_the_conventions() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    cut = ScriptedRuntime(fails(BrokenStreamError("cut"), after_text="half"))
    async with open_house(telemetry=ClientMetrics(SdkHistograms(provider)), gpu=cut) as house:
        await house.router.generate(ASK)
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: [dict(point.attributes or {}) for point in metric.data.data_points]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert {each.get("error.type") for each in points["gen_ai.client.operation.duration"]} == {"broken_stream", None}
    assert {each["gen_ai.token.type"] for each in points["gen_ai.client.token.usage"]} == {"input", "output"}
    assert len(points["gen_ai.client.operation.time_to_first_chunk"]) == 2
    assert {each["gen_ai.provider.name"] for each in points["gen_ai.client.operation.duration"]} == {"vllm", "ollama"}
