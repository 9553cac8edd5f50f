"""The command line, run in this process: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router_mcp import __version__
from router_mcp.cli import app as cli
from router_mcp.config import profile_path

BAD = """version: 1
runtimes:
  ollama: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}
models:
  phi3: {runtime: olama, context_window: 4096}
tasks: {chat: {modls: [phi3]}}
defaults: {task: chat}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["router-mcp", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """A policy whose only runtime refuses every connection."""
    path = tmp_path / "dead.yaml"
    path.write_text(BAD.replace("olama", "ollama").replace("modls", "models").replace("11434", "9"))
    return path


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.split()[-1] == __version__


def test_no_command_shows_those_there_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 2
    shown = capsys.readouterr().out
    assert all(command in shown for command in cli.COMMANDS)


def test_a_good_file_is_called_good(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "config", "check", str(profile_path("embedded"))) == 0
    assert "good" in capsys.readouterr().err


def test_a_bad_file_is_refused_with_line_key_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    assert run(monkeypatch, "config", "check", str(path)) == 2
    said = capsys.readouterr().err
    assert "bad.yaml:6" in said
    assert "modls" in said
    assert "'models'" in said


def test_a_check_as_json_names_line_key_and_remedy_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    assert run(monkeypatch, "config", "check", str(path), "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert [(each["line"], each["key"]) for each in report["problems"]][-1] == (6, "tasks.chat.modls")
    assert run(monkeypatch, "config", "check", str(profile_path("embedded")), "--json") == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["valid"], good["problems"], good["models"]) == (True, [], 1)
    assert run(monkeypatch, "config", "check", "nowhere.yaml", "--json") == 2
    assert "cannot be read" in json.loads(capsys.readouterr().out)["problems"][0]["message"]


def test_a_failure_as_json_is_one_object_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    assert run(monkeypatch, "generate", "hi", "--json", "--config", str(dead)) == 1
    failure = json.loads(capsys.readouterr().out)
    assert (failure["error"]["code"], failure["error"]["retryable"]) == ("backend_unavailable", True)
    assert [attempt["outcome"] for attempt in failure["receipt"]["attempts"]] == ["unreachable"]
    assert run(monkeypatch, "generate", "hi", "--json", "--config", "nowhere.yaml") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "config"


def test_a_missing_file_is_wrong_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "generate", "hi", "--config", "nowhere.yaml") == 2
    assert "--config" in capsys.readouterr().err


def test_the_policy_in_force_and_its_schema_are_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "config", "show", "--config", str(profile_path("embedded"))) == 0
    assert json.loads(capsys.readouterr().out)["defaults"]["temperature"] == 0.7
    assert run(monkeypatch, "config", "schema") == 0
    assert json.loads(capsys.readouterr().out)["additionalProperties"] is False


def test_a_call_that_nothing_serves_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    assert run(monkeypatch, "generate", "hi", "--config", str(dead)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Start it" in err


def test_an_unknown_task_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    assert run(monkeypatch, "generate", "hi", "--task", "cooking", "--config", str(dead)) == 2
    assert "chat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("structured", "hi"), "exactly one"),
        (("structured", "hi", "--choices", "a,b", "--regex", "a"), "exactly one"),
        (("structured", "hi", "--schema", "nowhere.json"), "cannot be read"),
        (("structured", "hi", "--schema", "{list}"), "is an object"),
        (("structured", "hi", "--schema", "{text}"), "not JSON"),
        (("serve", "--transport", "http", "--host", "0.0.0.0"), "ROUTER_MCP_TOKEN"),
    ],
)
def test_wrong_use_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "text.json").write_text("hello")
    monkeypatch.delenv("ROUTER_MCP_TOKEN", raising=False)
    real = [a.format(list=tmp_path / "list.json", text=tmp_path / "text.json") for a in arguments]
    assert run(monkeypatch, *real) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_shows_the_plan_and_what_is_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    assert run(monkeypatch, "route", "--task", "chat", "--json", "--config", str(dead)) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["plan"][0]["model"] == "phi3"
    assert plan["plan"][0]["state"] == "unhealthy"
    assert plan["deadline_s"] == 30
    assert run(monkeypatch, "route", "--task", "chat", "--config", str(dead)) == 0
    assert "phi3" in capsys.readouterr().out


def test_status_tells_what_is_down_and_fails_when_nothing_can_be_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    assert run(monkeypatch, "status", "--json", "--config", str(dead)) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["endpoints"][0]["state"] == "unhealthy"
    assert report["models"][0]["name"] == "phi3"
    assert run(monkeypatch, "status", "--config", str(dead)) == 1
    assert "phi3" in capsys.readouterr().out


def test_an_unknown_trace_exporter_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: Path
) -> None:
    monkeypatch.setenv("LLM_TRACE_EXPORTER", "jaeger")
    assert run(monkeypatch, "serve", "--config", str(dead)) == 2
    assert "LLM_TRACE_EXPORTER" in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--help")
    out = capsys.readouterr().out
    for command in ("serve", "generate", "structured", "route", "status", "config", "demo"):
        assert command in out
