"""The failover drill: it refuses what it calls down, really asks the rest, and says what is out of policy."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from router_mcp.cli import app as cli
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Call, Completion, Listener
from router_mcp.errors import BrokenStreamError
from router_mcp.operations.drill import Kill, TaskDrill, drill_task
from router_mcp.wiring import Outside
from tests.houses import make_policy
from tests.scripted import REFUSES, Behaviour, ScriptedRuntime, fails, in_turn, says

pytestmark = pytest.mark.anyio


async def drilled(
    *,
    gpu: ScriptedRuntime | None = None,
    laptop: ScriptedRuntime | None = None,
    policy: PolicyFile | None = None,
    task: str = "reasoning",
    kill: Kill = "primary",
) -> TaskDrill:
    runtimes = {"gpu": gpu or ScriptedRuntime(), "laptop": laptop or ScriptedRuntime()}
    outside = Outside(environ={}, make_runtime=lambda name, policy: runtimes[name])
    return await drill_task(policy or make_policy(), task, kill, outside)


def changed(**models: tuple[str, ...]) -> PolicyFile:
    """Return the house's policy with other tasks."""
    policy = make_policy()
    given = {name: {"models": names} for name, names in models.items()}
    return PolicyFile.model_validate({**policy.model_dump(), "tasks": {**policy.model_dump()["tasks"], **given}})


def after(seconds: float, behaviour: Behaviour) -> Behaviour:
    async def answer(call: Call, listener: Listener) -> Completion:
        await anyio.sleep(seconds)
        return await behaviour(call, listener)

    return answer


async def test_a_fallback_that_serves_at_once_is_in_policy() -> None:
    gpu, laptop = ScriptedRuntime(), ScriptedRuntime(says("ready", after_s=0.5))
    drill = await drilled(gpu=gpu, laptop=laptop)
    assert (drill.before, drill.killed, drill.served_by) == ("big", ("big",), "small")
    assert drill.failover_s == 0
    assert drill.seconds == pytest.approx(0.5, abs=0.1)
    assert (drill.allowed_s, drill.deadline_s) == (2, 30)
    assert drill.next_failover_s == 0
    assert drill.problems == ()
    assert len(gpu.calls) == 1, "the primary is asked before the drill, and never during it"
    assert len(laptop.calls) == 2
    assert gpu.closed
    assert laptop.closed


async def test_the_primary_alone_is_refused_or_all_but_the_last() -> None:
    policy = changed(reasoning=("big", "other", "small"))
    assert (await drilled(policy=policy)).served_by == "other"
    drill = await drilled(policy=policy, kill="all-but-last")
    assert (drill.killed, drill.served_by) == (("big", "other"), "small")
    assert drill.allowed_s == 4


async def test_a_fallback_on_the_same_runtime_is_left_in_use() -> None:
    gpu = ScriptedRuntime()
    drill = await drilled(gpu=gpu, policy=changed(reasoning=("big", "other")))
    assert drill.served_by == "other"
    assert [call.model for call in gpu.calls] == ["big", "other", "other"]


async def test_a_task_without_a_fallback_is_out_of_policy() -> None:
    drill = await drilled(policy=changed(reasoning=("big",)))
    assert drill.served_by is None
    assert "Give it a fallback" in drill.problems[0]


async def test_a_fallback_that_is_down_is_out_of_policy_with_the_reason() -> None:
    drill = await drilled(laptop=ScriptedRuntime(REFUSES))
    assert drill.before == "big"
    assert drill.seconds is None
    assert "Start it." in drill.problems[0]


async def test_a_task_that_nothing_serves_even_now_is_said_to_be_so() -> None:
    drill = await drilled(gpu=ScriptedRuntime(REFUSES), laptop=ScriptedRuntime(REFUSES))
    assert drill.before is None
    assert "even now" in drill.problems[0]


async def test_time_that_a_fallback_loses_is_out_of_policy() -> None:
    policy = changed(reasoning=("big", "other", "small"))
    slow_failure = after(5.0, fails(BrokenStreamError("cut"), after_text="half"))
    drill = await drilled(gpu=ScriptedRuntime(by_model={"other": slow_failure}), policy=policy)
    assert drill.served_by == "small"
    assert drill.failover_s == pytest.approx(5, abs=0.1)
    assert "5.00 s were lost" in drill.problems[0]


async def test_a_fallback_that_is_too_slow_for_the_deadline_is_out_of_policy() -> None:
    drill = await drilled(laptop=ScriptedRuntime(says("a b c d e f g h", each_s=5.0)))
    assert drill.served_by == "small"
    assert "longer timeout" in drill.problems[0]


async def test_a_fallback_that_serves_only_once_is_out_of_policy() -> None:
    drill = await drilled(laptop=ScriptedRuntime(in_turn(says("ready"), REFUSES)))
    assert "no more" in drill.problems[0]


async def test_a_call_that_pays_again_is_out_of_policy() -> None:
    policy = changed(reasoning=("big", "other", "small"))
    other = in_turn(says("ready"), after(1.0, fails(BrokenStreamError("cut"))))
    drill = await drilled(gpu=ScriptedRuntime(by_model={"other": other}), policy=policy)
    assert drill.next_failover_s == pytest.approx(1, abs=0.1)
    assert "just before" in drill.problems[0]


ONE_DEAD = """version: 1
runtimes:
  first: {kind: ollama, endpoints: ["http://127.0.0.1:9"]}
  second: {kind: ollama, endpoints: ["http://127.0.0.1:7"]}
models:
  a: {runtime: first, context_window: 4096}
  b: {runtime: second, context_window: 4096}
tasks: {chat: {models: [a, b]}, embedding: {served_by: embeddings-mcp}}
defaults: {task: chat}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["router-mcp", "drill", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def dead(tmp_path: Path) -> str:
    path = tmp_path / "dead.yaml"
    path.write_text(ONE_DEAD)
    return str(path)


def test_the_command_ends_with_1_when_out_of_policy_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: str
) -> None:
    assert run(monkeypatch, "--config", dead) == 1
    assert "even now" in capsys.readouterr().out
    assert run(monkeypatch, "--config", dead, "--kill", "all-but-last", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["in_policy"], report["kill"]) == (False, "all-but-last")
    assert report["tasks"][0]["task"] == "chat"


@pytest.mark.parametrize(("task", "code"), [("cooking", 2), ("embedding", 1)])
def test_a_task_without_models_cannot_be_drilled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: str, task: str, code: int
) -> None:
    assert run(monkeypatch, "--config", dead, "--task", task) == code
    assert capsys.readouterr().out == ""
