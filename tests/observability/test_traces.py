"""A collector on a real socket receives one connected trace for every kind of call, by the conventions' names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, mcp_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from tests.observability.calls import call, new_trace, request_of
from tests.observability.collector import CLIENT, SERVER, Collector, Seen
from tests.observability.router import Running, router_http, router_process, write_policy
from tests.observability.sockets import free_port, served
from tests.observability.upstream import ANSWER, Upstream

pytestmark = pytest.mark.anyio

OTLP = {"LLM_TRACE_EXPORTER": "otlp", "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "500"}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Scene:
    """A router that exports to a collector of ours, its stand-in for vLLM, and a client."""

    def __init__(self, url: str, running: Running, upstream: Upstream, collector: Collector) -> None:
        self.url, self.running, self.upstream, self.collector = url, running, upstream, collector
        self.client = httpx.AsyncClient(timeout=30)

    async def traced(self, tool: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
        """Call in a new trace; return the result, the trace id and the client's span id."""
        trace_id, span_id, traceparent = new_trace()
        result = await call(self.client, self.url, tool, arguments, traceparent=traceparent)
        return result, trace_id, span_id


@asynccontextmanager
async def scene(folder: Path, **environ: str) -> AsyncGenerator[Scene]:
    upstream, collector = Upstream(), Collector()
    async with served(upstream.app) as models, served(collector.app) as otlp:
        env = {**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp, **environ}
        async with router_http(write_policy(folder, models), env) as (running, url):
            made = Scene(url, running, upstream, collector)
            async with made.client:
                yield made


@pytest.fixture(scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Scene]:
    """One router for all tests that need no special one: a process takes seconds to start."""
    async with scene(tmp_path_factory.mktemp("scene")) as made:
        yield made


def known(package: Any, prefix: str) -> set[str]:
    return {value for name, value in vars(package).items() if name.isupper() and str(value).startswith(prefix)}


STANDARD = (
    known(gen_ai_attributes, "gen_ai.")
    | known(mcp_attributes, "mcp.")
    | known(error_attributes, "error.")
    | known(server_attributes, "server.")
)


def check_names(span: Seen) -> None:
    """Every name is one of the conventions', or carries our own prefix."""
    names = set(span.attributes) | {pair.key for event in span.span.events for pair in event.attributes}
    ours = {name for name in names if name.startswith("router_mcp.")}
    rest = names - ours - {"jsonrpc.request.id", "rpc.response.status_code"}
    assert rest <= STANDARD, f"unknown: {rest - STANDARD}"
    assert all(event.startswith("router_mcp.") for event in span.events)


def check_connected(trace: dict[str, list[Seen]], span_id: str, tool: str) -> tuple[Seen, list[Seen]]:
    """The client's span is the parent of the server's, which is the parent of every attempt's."""
    (call_span,) = trace[f"tools/call {tool}"]
    assert call_span.span.kind == SERVER
    assert call_span.span.parent_span_id.hex() == span_id
    attempts = [seen for name, spans in trace.items() if name.startswith("chat ") for seen in spans]
    for attempt in attempts:
        assert attempt.span.kind == CLIENT
        assert attempt.span.parent_span_id == call_span.span.span_id
    for seen in (call_span, *attempts):
        check_names(seen)
    return call_span, sorted(attempts, key=lambda seen: seen.span.start_time_unix_nano)


async def test_a_call_that_the_primary_serves(here: Scene) -> None:
    result, trace_id, span_id = await here.traced("generate", {"prompt": "secret prompt", "task": "plain"})
    trace = await here.collector.trace(trace_id, {"tools/call generate", "chat good"})
    line = await here.running.logged(f"trace_id={trace_id}")
    headers = here.upstream.requests[-1][0]
    with anyio.fail_after(30):
        while "gen_ai.client.token.usage" not in here.collector.metrics:
            await anyio.sleep(0.05)
    route = result["_meta"]["router-mcp/route"]
    assert route["trace_id"] == trace_id
    assert (line["request_id"], line["trace_id"]) == (route["request_id"], trace_id)
    call_span, (attempt,) = check_connected(trace, span_id, "generate")
    assert attempt.resource["service.name"] == "router-mcp"
    assert headers["traceparent"] == f"00-{trace_id}-{attempt.span.span_id.hex()}-01"
    assert headers["x-request-id"].startswith(route["request_id"])
    found = attempt.attributes
    assert found["gen_ai.provider.name"] == "vllm"
    assert found["gen_ai.request.model"] == "good"
    assert found["gen_ai.request.stream"] is True
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (11, 4)
    assert found["server.address"] == "127.0.0.1"
    assert attempt.events == ["router_mcp.first_token"]
    assert attempt.span.start_time_unix_nano < attempt.span.events[0].time_unix_nano < attempt.span.end_time_unix_nano
    assert call_span.attributes["router_mcp.request_id"] == route["request_id"]
    metrics = here.collector.metrics
    assert set(metrics) <= known(gen_ai_metrics, "gen_ai.")
    assert set().union(*(point for points in metrics.values() for point in points)) <= STANDARD
    everything = str([(seen.attributes, seen.span.events) for seen in here.collector.spans]) + str(here.running.log)
    assert "secret" not in everything
    assert ANSWER not in everything


async def test_a_fallback_after_a_cut_stream(here: Scene) -> None:
    result, trace_id, span_id = await here.traced("generate", {"prompt": "x", "task": "cut-first"})
    trace = await here.collector.trace(trace_id, {"tools/call generate", "chat cut", "chat good"})
    assert result["structuredContent"]["fallback_from"] == ["cut"]
    call_span, (cut, good) = check_connected(trace, span_id, "generate")
    assert cut.attributes["error.type"] == "broken_stream"
    assert cut.span.status.code == Status.STATUS_CODE_ERROR
    assert "error.type" not in good.attributes
    assert call_span.events == ["router_mcp.fallback"]
    assert call_span.attributes["router_mcp.fallback_from"] == ["cut"]


async def test_a_structured_answer_that_was_repaired(here: Scene) -> None:
    arguments = {"prompt": "x", "task": "shaped", "json_schema": NUMBER}
    result, trace_id, span_id = await here.traced("structured_generate", arguments)
    trace = await here.collector.trace(trace_id, {"tools/call structured_generate"})
    assert result["structuredContent"]["data"] == {"n": 1}
    call_span, attempts = check_connected(trace, span_id, "structured_generate")
    assert [seen.name for seen in attempts] == ["chat wrong-once"] * 2
    assert [seen.attributes["router_mcp.attempt"] for seen in attempts] == [1, 2]
    assert attempts[0].attributes["error.type"] == "output_invalid"
    assert attempts[0].attributes["gen_ai.output.type"] == "json"
    assert call_span.events == ["router_mcp.repair"]


async def test_a_call_that_was_cancelled(here: Scene) -> None:
    trace_id, span_id, traceparent = new_trace()
    here.upstream.asked = anyio.Event()
    request = request_of("generate", {"prompt": "x", "task": "silent"}, traceparent=traceparent)
    async with anyio.create_task_group() as tasks:

        async def abandoned() -> None:
            await here.client.post(f"{here.url}/mcp", **request)

        tasks.start_soon(abandoned)
        with anyio.fail_after(30):
            await here.upstream.asked.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(30):
        await here.upstream.left.wait()
    trace = await here.collector.trace(trace_id, {"tools/call generate", "chat silent"})
    line = await here.running.logged(f"trace_id={trace_id}")
    call_span, (attempt,) = check_connected(trace, span_id, "generate")
    assert attempt.attributes["error.type"] == "cancelled"
    assert call_span.attributes["router_mcp.outcome"] == "cancelled"
    assert (line["outcome"], line["trace_id"]) == ("cancelled", trace_id)


async def test_content_goes_along_only_on_request(tmp_path: Path) -> None:
    async with scene(tmp_path, LLM_TRACE_CONTENT="1") as here:
        _, trace_id, _ = await here.traced("generate", {"prompt": "secret prompt", "task": "plain"})
        trace = await here.collector.trace(trace_id, {"chat good"})
    found = trace["chat good"][0].attributes
    assert "secret prompt" in found["gen_ai.input.messages"]
    assert ANSWER in found["gen_ai.output.messages"]


async def test_without_an_exporter_the_clients_trace_is_in_the_receipt_and_reaches_the_runtime(tmp_path: Path) -> None:
    async with scene(tmp_path, LLM_TRACE_EXPORTER="none") as here:
        result, trace_id, span_id = await here.traced("generate", {"prompt": "x"})
        headers = here.upstream.requests[0][0]
    assert result["_meta"]["router-mcp/route"]["trace_id"] == trace_id
    assert headers["traceparent"] == f"00-{trace_id}-{span_id}-01"
    assert here.collector.spans == []


async def test_a_trace_that_only_the_http_header_names_is_taken_up(tmp_path: Path) -> None:
    async with scene(tmp_path, LLM_TRACE_EXPORTER="none") as here:
        trace_id, span_id, traceparent = new_trace()
        request = request_of("generate", {"prompt": "x"})
        request["headers"]["traceparent"] = traceparent
        response = await here.client.post(f"{here.url}/mcp", **request)
        headers = here.upstream.requests[0][0]
    assert f'"trace_id":"{trace_id}"' in response.text
    assert headers["traceparent"] == f"00-{trace_id}-{span_id}-01"


@pytest.mark.parametrize("collector", ["refuses", "hangs"])
async def test_a_collector_that_is_down_costs_no_call_and_does_not_hold_up_the_exit(
    tmp_path: Path, collector: str
) -> None:
    upstream = Upstream()
    async with served(upstream.app) as models, await anyio.create_tcp_listener(local_host="127.0.0.1") as hole:
        port = hole.extra(anyio.abc.SocketAttribute.local_port) if collector == "hangs" else free_port()
        environ = {**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_MAX_QUEUE_SIZE": "4"}
        async with router_http(write_policy(tmp_path, models), environ) as (running, url):
            async with httpx.AsyncClient(timeout=30) as client:
                results = [await call(client, url, "generate", {"prompt": "x"}) for _ in range(12)]
                scrape = (await client.get(f"{url}/metrics")).text
            begun = anyio.current_time()
            assert await running.leave() == 0
            took = anyio.current_time() - begun
    assert all("isError" not in result or not result["isError"] for result in results)
    lost = [line for line in scrape.splitlines() if line.startswith("router_mcp_trace_spans_dropped_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in lost) > 0
    assert took < 6, "leaving must not wait for a collector"


async def test_an_unknown_exporter_stops_the_start(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, "http://127.0.0.1:10")
    async with router_process(policy, environ={"LLM_TRACE_EXPORTER": "jaeger"}) as running:
        assert running.process.stderr is not None
        said = b"".join([part async for part in running.process.stderr])
        assert await running.process.wait() == 2
    assert b"none, otlp, console" in said.replace(b"\n", b" ")
