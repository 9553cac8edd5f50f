"""A real Prometheus scrapes a real router and the real vLLM behind it; dashboards and rules find what they ask for."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

from tests.live.vllm import server
from tests.observability.calls import call, new_trace
from tests.observability.collector import Collector
from tests.observability.dashboards import FILES, expressions, load
from tests.observability.prometheus import names_in, prometheus, rules, write_config
from tests.observability.router import router_http
from tests.observability.sockets import served

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

TOKEN = "s3cret"
POLICY = """
version: 1
runtimes:
  gpu: {{kind: vllm, endpoints: ["{url}"], allow_insecure: true}}
models:
  mixtral-8x7b-instruct: {{runtime: gpu, context_window: 2048}}
tasks:
  plain: {{models: [mixtral-8x7b-instruct], timeout: long_form}}
defaults: {{task: plain, max_output_tokens: 16}}
health: {{interval: 1, timeout: 5}}
"""


async def test_prometheus_scrapes_both_and_every_vllm_metric_that_is_asked_for_is_there(
    vllm: server.Server, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(url=vllm.url))
    collector = Collector()
    async with served(collector.app) as otlp:
        environ = {"ROUTER_MCP_TOKEN": TOKEN, "LLM_TRACE_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp}
        environ["OTEL_BSP_SCHEDULE_DELAY"] = "200"
        async with router_http(policy, environ) as (_, url):
            headers = {"authorization": f"Bearer {TOKEN}"}
            trace_id, _, traceparent = new_trace()
            async with httpx.AsyncClient(timeout=120, headers=headers) as client:
                result = await call(client, url, "generate", {"prompt": "Say hello."}, traceparent=traceparent)
            assert not result.get("isError")
            trace = await collector.trace(trace_id, {"chat mixtral-8x7b-instruct"})
            assert trace["chat mixtral-8x7b-instruct"][0].attributes["gen_ai.usage.output_tokens"] > 0
            config = write_config(tmp_path, {"router-mcp": url, "vllm": vllm.url}, TOKEN)
            async with prometheus(config) as running:
                await running.until('count(up{job=~"router-mcp|vllm"} == 1) == 2')
                there = set(await running.get("label/__name__/values"))
                asked = [expression for path in FILES for _, expression in expressions(load(path))]
                asked += [rule["expr"] for rule in rules()]
                wanted = {name for expression in asked for name in names_in(expression) if name.startswith("vllm:")}
                assert wanted <= there, f"no scrape has {sorted(wanted - there)}"
                assert not any(name.endswith("_created") for name in there if name.startswith("vllm:"))
                with anyio.fail_after(60):
                    while any(
                        rule["health"] != "ok"
                        for group in (await running.get("rules"))["groups"]
                        for rule in group["rules"]
                    ):
                        await anyio.sleep(0.5)
                (served_one,) = await running.until('router_mcp_requests_total{outcome="ok"}')
    assert served_one["metric"]["model"] == "mixtral-8x7b-instruct"
