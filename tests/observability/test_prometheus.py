"""A real Prometheus scrapes a real router and what a real vLLM said; every rule and every panel finds its metrics."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.observability.calls import call
from tests.observability.collector import Collector
from tests.observability.dashboards import FILES, expressions, load
from tests.observability.prometheus import Prometheus, names_in, program, prometheus, rules, write_config
from tests.observability.router import ROOT, router_http, router_process, write_policy
from tests.observability.sockets import free_port, served
from tests.observability.upstream import Upstream

pytestmark = pytest.mark.anyio

TOKEN = "s3cret"
RECORDED = ROOT / "tests" / "contract" / "recordings" / "vllm-0.32.0" / "metrics.json"
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CASES = sorted((ROOT / "tests" / "infra" / "rules").glob("*_test.yml"))


async def recorded_metrics(request: Request) -> Response:
    body = json.loads(RECORDED.read_text())["response"]["body"]
    return PlainTextResponse(body, headers={"content-type": "text/plain; version=0.0.4"})


@asynccontextmanager
async def everything_happened(folder: Path) -> AsyncGenerator[tuple[str, str]]:
    """Run a router in which every kind of thing has happened; yield its URL and that of the recorded vLLM."""
    upstream, collector = Upstream(), Collector()
    upstream.app.router.routes.append(Route("/metrics", recorded_metrics))
    async with served(upstream.app) as models, served(collector.app) as otlp:
        policy = write_policy(folder, models)
        environ = {"ROUTER_MCP_TOKEN": TOKEN, "LLM_TRACE_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp}
        async with router_http(policy, environ) as (running, url):
            async with httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {TOKEN}"}) as client:
                await call(client, url, "generate", {"prompt": "x"})
                await call(client, url, "generate", {"prompt": "x", "task": "cut-first"})
                await call(client, url, "generate", {"prompt": "x", "task": "silent", "timeout_s": 1})
                shaped = {"prompt": "x", "task": "shaped", "json_schema": NUMBER}
                await call(client, url, "structured_generate", shaped)
            policy.write_text(policy.read_text() + "nonsense: true\n")
            await running.logged("The policy was not reloaded")
            yield url, models


@pytest.fixture(scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    async with everything_happened(folder) as (router, vllm):
        config = write_config(folder, {"router-mcp": router, "vllm": vllm}, TOKEN)
        async with prometheus(config) as running:
            await running.until('count(up{job=~"router-mcp|vllm"} == 1) == 2')
            yield running


async def test_every_metric_of_a_rule_or_a_panel_is_in_a_scrape(scraped: Prometheus) -> None:
    there = set(await scraped.get("label/__name__/values"))
    wanted = {name for rule in rules() for name in names_in(rule["expr"])}
    for path in FILES:
        for title, expression in expressions(load(path)):
            found = names_in(expression)
            assert found, f"{path.name}: {title} reads no metric of ours"
            wanted |= found
    assert wanted <= there, f"no scrape has {sorted(wanted - there)}"
    assert len(wanted) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_prometheus_understands_every_panel(scraped: Prometheus, path: Path) -> None:
    board = load(path)
    asked = list(expressions(board))
    assert len(asked) > 8
    for _, expression in asked:
        await scraped.query(expression)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = variable["query"]["query"].removeprefix("label_values(").rstrip(")").split(", ")
            assert await scraped.query(f"count by ({label}) ({metric})"), f"{variable['name']} has no values"


async def test_prometheus_runs_every_rule(scraped: Prometheus) -> None:
    with anyio.fail_after(60):
        while True:
            groups = (await scraped.get("rules"))["groups"]
            loaded = [rule for group in groups for rule in group["rules"]]
            if all(rule["health"] != "unknown" for rule in loaded):
                break
            await anyio.sleep(0.2)
    assert {rule["name"] for rule in loaded} == {rule.get("alert") or rule["record"] for rule in rules()}
    assert {rule["health"] for rule in loaded} == {"ok"}


async def test_what_happened_can_be_asked_for(scraped: Prometheus) -> None:
    (fallback,) = await scraped.until("router_mcp_fallbacks_total")
    labels = {key: fallback["metric"][key] for key in ("task", "from", "to", "reason")}
    assert labels == {"task": "cut-first", "from": "cut", "to": "good", "reason": "broken_stream"}
    (repair,) = await scraped.until("router_mcp_structured_repairs_total")
    assert repair["metric"]["reason"] == "not_json"
    (refused,) = await scraped.until('router_mcp_config_reloads_total{outcome="refused"}')
    assert refused["value"][1] == "1"
    assert await scraped.until('router_mcp_endpoint_state{runtime="gone",state="unhealthy"} == 1')
    assert await scraped.until("vllm:num_requests_running")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_stays_silent() -> None:
    import yaml  # noqa: PLC0415 - one use

    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    cases = [
        case for path in CASES for test in yaml.safe_load(path.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"info", "warning", "critical"}
            assert rule["annotations"].keys() == {"summary", "remedy"}


async def test_a_server_on_stdio_shows_its_metrics_on_a_port_of_loopback(tmp_path: Path) -> None:
    port = free_port()
    policy = write_policy(tmp_path, "http://127.0.0.1:10")
    async with router_process(policy, "--metrics-port", str(port), stdin=subprocess.PIPE) as running:
        await running.logged("metrics answers on")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            scrape = await client.get("/metrics")
            stranger = await client.get("/metrics", headers={"host": "evil.example"})
        assert running.process.stdin is not None
        await running.process.stdin.aclose()
        with anyio.fail_after(30):
            assert await running.process.wait() == 0
    assert scrape.status_code == 200
    assert "router_mcp_build_info" in scrape.text
    assert stranger.status_code == 421


async def test_a_metrics_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, "http://127.0.0.1:10")
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as taken:
        port = taken.extra(anyio.abc.SocketAttribute.local_port)
        async with router_process(policy, "--metrics-port", str(port), environ=dict(os.environ)) as running:
            assert running.process.stderr is not None
            said = b"".join([part async for part in running.process.stderr])
            assert await running.process.wait() == 2
    assert b"cannot be listened on" in said
