"""`router-mcp install`: what it shows, what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from router_mcp.cli import app as cli
from router_mcp.cli.client_files import CLIENTS
from router_mcp.config import profile_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a project folder of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "home"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["router-mcp", "install", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def servers(path: Path, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())[key]
    return found


@pytest.mark.parametrize("name", list(CLIENTS))
def test_a_client_without_a_file_gets_one(monkeypatch: pytest.MonkeyPatch, home: Path, name: str) -> None:
    client = CLIENTS[name]
    assert run(monkeypatch, name, "--yes") == 0
    entry = servers(client.path("user", home, Path()), client.key)["router"]
    assert Path(entry["command"]).is_absolute(), "a desktop program has no PATH of the user's"
    assert entry["args"][-1] == "serve"
    assert ("type" in entry) == client.typed
    assert "env" not in entry


def test_what_else_is_in_the_file_stays_and_is_backed_up_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir(parents=True)
    before = '{\n    "theme": "ünicode",\n    "mcpServers": {\n        "other": {"env": {"KEY": "secret"}}\n    }\n}\n'
    path.write_text(before)
    path.chmod(0o600)
    assert run(monkeypatch, "cursor", "--yes", "--env", "OLLAMA_URL=http://box:11434") == 0
    after = json.loads(path.read_text())
    assert after["theme"] == "ünicode"
    assert after["mcpServers"]["other"] == {"env": {"KEY": "secret"}}
    assert after["mcpServers"]["router"]["env"] == {"OLLAMA_URL": "http://box:11434"}
    assert '\n    "theme": "ünicode"' in path.read_text(), "indented as it was"
    assert path.stat().st_mode & 0o777 == 0o600
    [backup] = path.parent.glob("mcp.json.*.bak")
    assert backup.read_text() == before
    said = capsys.readouterr().err
    assert "mcpServers.router" in said
    assert "secret" not in said


def test_the_second_time_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "claude", "--yes")
    written = (home / ".claude.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run(monkeypatch, "claude") == 0, "and nothing is asked"
    assert "already" in capsys.readouterr().err
    assert (home / ".claude.json").stat().st_mtime_ns == written
    assert not list(home.glob("*.bak"))


def test_another_entry_of_the_name_is_shown_before_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / ".claude.json").write_text('{"mcpServers": {"router": {"command": "old"}}}')
    run(monkeypatch, "claude", "--yes")
    assert "- mcpServers.router: {'command': 'old'}" in capsys.readouterr().err
    assert servers(home / ".claude.json", "mcpServers")["router"]["command"] != "old"


def test_who_says_no_or_cannot_be_asked_gets_nothing_written(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    empty = (tmp_path / "empty").open("w+")
    monkeypatch.setattr(sys, "stdin", empty)
    assert run(monkeypatch, "vscode") == 1
    assert not home.exists()
    empty.close()


def test_a_project_gets_its_own_file(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name, file, key in (
        ("claude", ".mcp.json", "mcpServers"),
        ("cursor", ".cursor/mcp.json", "mcpServers"),
        ("vscode", ".vscode/mcp.json", "servers"),
    ):
        assert run(monkeypatch, name, "--scope", "project", "--yes") == 0
        assert "router" in servers(Path.cwd() / file, key)
    assert not home.exists()


def test_claude_desktop_has_no_projects(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "claude-desktop", "--scope", "project", "--yes") == 2
    assert "Leave --scope out" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["// mine\n{}", "[]", '{"mcpServers": []}', "\udcff"])
def test_a_file_that_would_lose_something_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert run(monkeypatch, "cursor", "--yes") == 2
    assert "--print" in capsys.readouterr().err
    assert path.read_bytes() == content.encode(errors="surrogateescape")


def test_both_servers_and_a_policy_are_printed_for_any_other_client(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = profile_path("embedded")
    assert run(monkeypatch, "cursor", "--print", "--embeddings", "--config", str(policy)) == 0
    printed = json.loads(capsys.readouterr().out)["mcpServers"]
    assert printed["router"]["args"][-2:] == ["--config", str(policy.resolve())]
    assert printed["embeddings"]["args"][-1] == "serve"
    assert not home.exists()


def test_a_policy_that_is_wrong_is_said_now_and_not_by_a_client_that_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\n")
    assert run(monkeypatch, "cursor", "--yes", "--config", str(bad)) == 2
    assert "bad.yaml" in capsys.readouterr().err
    assert not home.exists()


def test_a_variable_without_a_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "cursor", "--yes", "--env", "OLLAMA_URL") == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_a_link_to_a_file_that_is_kept_elsewhere_stays_a_link(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    home.mkdir()
    kept = tmp_path / "dotfiles.json"
    kept.write_text("{}")
    (home / ".claude.json").symlink_to(kept)
    assert run(monkeypatch, "claude", "--yes") == 0
    assert (home / ".claude.json").is_symlink()
    assert "router" in servers(kept, "mcpServers")


def test_without_a_script_beside_it_python_starts_the_module(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    run(monkeypatch, "cursor", "--print")
    printed = json.loads(capsys.readouterr().out)["mcpServers"]["router"]
    assert printed == {"command": str(tmp_path / "python"), "args": ["-m", "router_mcp", "serve"]}
