"""What Prometheus sees: metrics by the names of the contract, with labels that cannot grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router_mcp.domain import GenerateRequest, JsonSchema
from router_mcp.errors import NoRuntimeError, UnknownTaskError
from router_mcp.telemetry.base import AttemptStarted, Event, LoopLagged
from router_mcp.telemetry.deferred import MOST, Deferred
from router_mcp.telemetry.prometheus import PrometheusMetrics
from tests.houses import House, open_house
from tests.scripted import REFUSES, ScriptedRuntime, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="secret prompt", task="reasoning")


def samples(metrics: PrometheusMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: PrometheusMetrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


@asynccontextmanager
async def measured(**parts: Any) -> AsyncGenerator[tuple[House, PrometheusMetrics]]:
    metrics = PrometheusMetrics("0.0.0")
    async with open_house(telemetry=metrics, **parts) as house:
        metrics.watch(house.router.board, house.router.book, lambda: house.router.fleet, anyio.current_time)
        yield house, metrics


async def test_a_served_call_is_counted_once_with_its_tokens() -> None:
    async with measured() as (house, metrics):
        await house.router.generate(ASK)
        name = "router_mcp_requests_total"
        assert value(metrics, name, task="reasoning", model="big", runtime="gpu", outcome="ok") == 1
        assert value(metrics, "router_mcp_attempts_total", model="big", runtime="gpu", outcome="ok") == 1
        assert value(metrics, "router_mcp_tokens_total", direction="input", model="big") == 7
        assert value(metrics, "router_mcp_tokens_total", direction="output", model="big") == 3
        assert value(metrics, "router_mcp_request_duration_seconds_count", task="reasoning", outcome="ok") == 1
        assert value(metrics, "router_mcp_time_to_first_token_seconds_count", model="big", runtime="gpu") == 1


async def test_a_fallback_is_counted_with_its_reason_and_the_state_shows() -> None:
    async with measured(gpu=ScriptedRuntime(REFUSES)) as (house, metrics):
        await house.router.generate(ASK)
        labels = {"task": "reasoning", "from": "big", "to": "small", "reason": "unreachable"}
        assert value(metrics, "router_mcp_fallbacks_total", **labels) == 1
        assert value(metrics, "router_mcp_endpoint_state", runtime="gpu", endpoint="http://gpu", state="unhealthy") == 1
        assert value(metrics, "router_mcp_endpoint_state", runtime="gpu", endpoint="http://gpu", state="healthy") == 0


async def test_a_call_that_no_runtime_served_is_counted_under_its_code() -> None:
    down = ScriptedRuntime(REFUSES)
    async with measured(gpu=down, laptop=down) as (house, metrics):
        with pytest.raises(NoRuntimeError):
            await house.router.generate(ASK)
        labels = {"task": "reasoning", "model": "", "runtime": "", "outcome": "backend_unavailable"}
        assert value(metrics, "router_mcp_requests_total", **labels) == 1


async def test_calls_in_flight_and_in_the_queue_show_while_they_last() -> None:
    async with measured(gpu=ScriptedRuntime(hangs())) as (house, metrics):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.router.generate, ASK)
            await anyio.sleep(1)
            assert value(metrics, "router_mcp_in_flight", runtime="gpu", endpoint="http://gpu") == 1
            tasks.cancel_scope.cancel()
        assert value(metrics, "router_mcp_in_flight", runtime="gpu", endpoint="http://gpu") == 0
        assert value(metrics, "router_mcp_queue_depth", runtime="gpu") == 0
        assert value(metrics, "router_mcp_attempts_total", model="big", runtime="gpu", outcome="cancelled") == 1


async def test_repairs_and_reloads_are_counted() -> None:
    gpu = ScriptedRuntime(in_turn(says("no json"), says("{}")))
    async with measured(gpu=gpu) as (house, metrics):
        await house.router.generate(GenerateRequest(prompt="x", constraint=JsonSchema({"type": "object"})))
        house.router.adopt(house.policy())
        assert value(metrics, "router_mcp_structured_repairs_total", model="big", reason="not_json") == 1
        assert value(metrics, "router_mcp_config_reloads_total", outcome="ok") == 1


async def test_no_label_holds_a_prompt_or_a_tenant() -> None:
    async with measured() as (house, metrics):
        await house.router.generate(GenerateRequest(prompt="secret prompt", tenant="acme-tenant"))
        body = metrics.exposition()[0].decode()
    assert "secret" not in body
    assert "acme" not in body
    assert "vllm:" not in body


async def test_a_task_that_the_policy_lacks_does_not_become_a_label() -> None:
    async with measured() as (house, metrics):
        with pytest.raises(UnknownTaskError) as refused:
            await house.router.generate(GenerateRequest(prompt="x", task="no-such-task"))
        labels = {"task": "", "model": "", "runtime": "", "outcome": "unknown_task"}
        assert value(metrics, "router_mcp_requests_total", **labels) == 1
        assert "no-such-task" not in metrics.exposition()[0].decode()
    assert refused.value.receipt is not None
    assert refused.value.receipt.request_id


async def test_a_caller_that_goes_away_is_counted_as_such() -> None:
    async with measured(gpu=ScriptedRuntime(hangs())) as (house, metrics):
        with anyio.move_on_after(1):
            await house.router.generate(ASK)
        labels = {"task": "reasoning", "model": "", "runtime": "", "outcome": "cancelled"}
        assert value(metrics, "router_mcp_requests_total", **labels) == 1


async def test_the_wait_for_a_slot_is_measured() -> None:
    slow = ScriptedRuntime(says("done", after_s=3))
    async with measured(gpu=slow, concurrency=1) as (house, metrics):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(house.router.generate, ASK)
        assert value(metrics, "router_mcp_queue_wait_seconds_count", runtime="gpu") == 2
        assert value(metrics, "router_mcp_queue_wait_seconds_sum", runtime="gpu") == pytest.approx(3, abs=0.1)
        assert value(metrics, "router_mcp_concurrency_limit", runtime="gpu", endpoint="http://gpu") == 1
        tries = {"model": "big", "runtime": "gpu", "outcome": "ok"}
        assert value(metrics, "router_mcp_attempt_duration_seconds_sum", **tries) == pytest.approx(6, abs=0.1)


def test_lag_lost_spans_the_process_and_the_build_are_shown() -> None:
    metrics = PrometheusMetrics("1.2.3")
    metrics.tell(LoopLagged(seconds=0.02))
    metrics.watch_drops(lambda: {"queue_full": 3, "export_failed": 5})
    assert value(metrics, "router_mcp_event_loop_lag_seconds_count") == 1
    assert value(metrics, "router_mcp_trace_spans_dropped_total", reason="queue_full") == 3
    assert value(metrics, "router_mcp_trace_spans_dropped_total", reason="export_failed") == 5
    assert value(metrics, "router_mcp_build_info", version="1.2.3") == 1
    assert value(metrics, "process_resident_memory_bytes") > 0


class Heard:
    """Telemetry that only listens."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def started(self, event: AttemptStarted) -> str | None:
        raise AssertionError("who is told later cannot begin a trace")

    def tell(self, event: Event) -> None:
        self.log.append(f"{self.name}: {type(event).__name__}")


async def test_listeners_that_can_wait_hear_everything_in_order_off_the_path_of_a_call() -> None:
    log: list[str] = []
    deferred = Deferred((Heard(log, "a"), Heard(log, "b")))
    async with open_house(telemetry=deferred) as house, anyio.create_task_group() as tasks:
        tasks.start_soon(deferred.run)
        await house.router.generate(ASK)
        assert log == []
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    events = ["Queued", "FirstToken", "AttemptEnded", "Answered"]
    assert log == [f"{name}: {event}" for name in "ab" for event in events]


def test_no_more_than_so_much_waits() -> None:
    log: list[str] = []
    deferred = Deferred((Heard(log, "a"),))
    for _ in range(MOST - 1):
        deferred.tell(LoopLagged(seconds=0.0))
    assert log == []
    deferred.tell(LoopLagged(seconds=0.0))
    assert len(log) == MOST
