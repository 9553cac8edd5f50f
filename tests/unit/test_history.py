"""What is remembered of the recent past: bounded, and told as an operator reads it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from router_mcp.domain import Endpoint, GenerateRequest, State
from router_mcp.edge.overview import overview, timeline
from router_mcp.errors import BrokenStreamError
from router_mcp.telemetry.history import CHANGES, SAMPLES, Change, History, quantile
from tests.houses import open_house
from tests.scripted import ScriptedRuntime, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="secret prompt", task="reasoning")
HERE = Endpoint(runtime="gpu", url="http://gpu")


def change(at: float, state: State) -> Change:
    return Change(at=at, endpoint=HERE, state=state, error=None)


async def test_attempts_become_quantiles_first_tokens_and_speed() -> None:
    history = History(anyio.current_time)
    steps = [says("a b c d e", after_s=1, each_s=seconds) for seconds in (0.5, 1, 1.5, 2)]
    async with open_house(telemetry=history, gpu=ScriptedRuntime(in_turn(*steps))) as house:
        for _ in steps:
            await house.router.generate(ASK)
    recent = history.recently("big")
    assert (recent.attempts, recent.failed) == (4, 0)
    assert recent.latencies_s == pytest.approx((3, 5, 7, 9), abs=0.1)
    assert recent.p50_s == pytest.approx(5, abs=0.1)
    assert recent.p95_s == pytest.approx(9, abs=0.1)
    assert recent.first_token_p50_s == pytest.approx(1, abs=0.1)
    assert recent.tokens_per_s == pytest.approx(5 / 6, abs=0.1)


async def test_failures_count_and_calls_that_were_given_up_do_not() -> None:
    history = History(anyio.current_time)
    gpu = ScriptedRuntime(in_turn(fails(BrokenStreamError("cut")), hangs()))
    async with open_house(telemetry=history, gpu=gpu) as house:
        await house.router.generate(ASK)
        house.router.board.succeeded(house.endpoint("gpu"), "big", anyio.current_time())
        with anyio.move_on_after(1):
            await house.router.generate(ASK)
    recent = history.recently("big")
    assert (recent.attempts, recent.failed, recent.p50_s) == (2, 1, None)


async def test_memory_is_bounded() -> None:
    history = History(anyio.current_time)
    async with open_house(telemetry=history) as house:
        for _ in range(SAMPLES + 20):
            await house.router.generate(ASK)
    assert history.recently("big").attempts == SAMPLES
    states: list[State] = ["healthy", "unhealthy"]
    for number in range(CHANGES + 20):
        history.observe([(HERE, states[number % 2], None)])
    assert len(history.changes()) == CHANGES


async def test_a_state_is_remembered_only_when_it_changed_and_an_endpoint_that_left_is_forgotten() -> None:
    history = History(anyio.current_time)
    for state in ("unknown", "healthy", "healthy", "unhealthy"):
        history.observe([(HERE, state, "it is down. Start it." if state == "unhealthy" else None)])
    assert [each.state for each in history.changes()] == ["healthy", "unhealthy"]
    assert history.changes()[-1].error == "it is down. Start it."
    history.observe([])
    history.observe([(HERE, "unhealthy", None)])
    assert len(history.changes()) == 3


def test_a_timeline_covers_its_window_and_begins_with_what_was_so_before_it() -> None:
    changes = [change(10, "healthy"), change(3000, "unhealthy"), change(3300, "demoted")]
    stretches = timeline(changes, now=3700, window_s=3600)
    assert [(each["state"], each["from_s"], each["to_s"]) for each in stretches] == [
        ("healthy", 3600, 700),
        ("unhealthy", 700, 400),
        ("demoted", 400, 0),
    ]
    assert timeline([], now=5, window_s=60) == [{"state": "unknown", "from_s": 60, "to_s": 0}]


@pytest.mark.parametrize(("part", "expected"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (1.0, 4.0)])
def test_a_quantile_is_a_value_that_was_measured(part: float, expected: float) -> None:
    assert quantile([3.0, 1.0, 4.0, 2.0], part) == expected
    assert quantile([], part) is None


async def test_the_overview_says_where_the_next_call_goes_and_why() -> None:
    history = History(anyio.current_time)
    async with open_house(telemetry=history, gpu=ScriptedRuntime(fails(BrokenStreamError("cut. Look.")))) as house:
        started = anyio.current_time()
        await anyio.sleep(5)
        await house.router.generate(ASK)
        house.router.board.probed(house.endpoint("laptop"), None, anyio.current_time())
        standings = [
            (each, house.router.board.standing(each, "", anyio.current_time()))
            for each in house.router.fleet.endpoints()
        ]
        history.observe((endpoint, standing.state, standing.error) for endpoint, standing in standings)
        await anyio.sleep(1)
        seen: dict[str, Any] = overview(house.router, history, anyio.current_time(), started)
    assert seen["server"]["ready"] is True
    assert seen["server"]["uptime_s"] == pytest.approx(6, abs=0.2)
    reasoning = next(task for task in seen["tasks"] if task["task"] == "reasoning")
    assert [step["model"] for step in reasoning["plan"]] == ["small", "big"]
    assert reasoning["default"] is True
    assert "embedding" not in [task["task"] for task in seen["tasks"]]
    gpu = next(each for each in seen["endpoints"] if each["runtime"] == "gpu")
    assert (gpu["state"], gpu["error"]) == ("unhealthy", "cut. Look.")
    assert gpu["timeline"][-1]["state"] == "unhealthy"
    assert {each["state"]: each["error"] for each in seen["changes"]} == {"unhealthy": "cut. Look.", "healthy": None}
    big = next(model for model in seen["models"] if model["name"] == "big")
    assert (big["recent"]["attempts"], big["recent"]["failed"]) == (1, 1)
    assert "secret" not in str(seen)
