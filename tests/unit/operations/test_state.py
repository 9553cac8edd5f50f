"""The state folder: files that are whole or as they were, a secret that is made once, an audit log without gaps."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from router_mcp.comparison import Tally
from router_mcp.errors import ConfigError
from router_mcp.orders import OrderBook
from router_mcp.state.audit import FILE as AUDIT
from router_mcp.state.audit import audit, last_lines
from router_mcp.state.directory import StateDirectory, replace_file, state_directory
from router_mcp.state.files import TENANTS, Tenant, TenantsFile, read_state, write_state
from router_mcp.state.secret import salt_secret
from router_mcp.state.window import FILE as WINDOW
from router_mcp.state.window import add_counts, read_counts


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"ROUTER_MCP_STATE": "/s", "HOME": "/h"}, "/s"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/router-mcp"),
        ({"HOME": "/h"}, "/h/.local/state/router-mcp"),
        ({}, None),
    ],
)
def test_the_folder_is_the_named_one_else_the_users(environ: dict[str, str], path: str | None) -> None:
    found = state_directory(environ)
    assert (None if found is None else str(found)) == path


def test_reading_makes_nothing(state: StateDirectory) -> None:
    assert read_state(state, TENANTS, TenantsFile) == TenantsFile()
    assert state.fingerprint(TENANTS) is None
    assert not state.path.exists()


def test_only_the_owner_may_read_what_is_written(state: StateDirectory) -> None:
    write_state(state, TENANTS, TenantsFile(tenants={"acme": Tenant(epoch=2)}))
    assert read_state(state, TENANTS, TenantsFile).tenants["acme"].epoch == 2
    assert oct((state.path / TENANTS).stat().st_mode & 0o777) == "0o600"
    assert oct(state.path.stat().st_mode & 0o777) == "0o700"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError):
        replace_file(path, "text is no bytes", mode=0o600)  # type: ignore[arg-type]  # that is the point
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("raw", ["{", "[]", '{"version": 2}', '{"version": 1, "tenants": {"a": {"epoch": -1}}}'])
def test_a_damaged_file_is_never_taken_for_an_empty_one(state: StateDirectory, raw: str) -> None:
    """A forgotten epoch would bring back what a teardown put out of reach."""
    state.write(TENANTS, raw.encode())
    with pytest.raises(ConfigError, match=r"tenants\.json: this state file is damaged"):
        OrderBook(state)


def test_a_folder_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = StateDirectory(tmp_path / "file" / "state")
    with pytest.raises(ConfigError, match=r"cannot be written .* Set ROUTER_MCP_STATE"):
        state.write("a", b"")
    with pytest.raises(ConfigError, match="cannot be read"):
        state.read("a")


def test_the_secret_is_made_once_and_kept_for_its_owner(state: StateDirectory) -> None:
    secret = salt_secret("", state)
    assert len(secret) == 64
    assert salt_secret("", state) == secret
    assert oct((state.path / "salt.secret").stat().st_mode & 0o777) == "0o600"
    assert salt_secret("given", state) == "given"


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    code = "import sys; from router_mcp.orders import OrderBook; from router_mcp.state.directory import StateDirectory;"
    code += "from pathlib import Path; print(OrderBook(StateDirectory(Path(sys.argv[1]))).salt('acme'))"
    line = [sys.executable, "-c", code, str(tmp_path / "state")]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    salts = {process.communicate(timeout=60)[0] for process in started}
    assert len(salts) == 1
    assert len(salts.pop().strip()) == 64


def test_without_a_place_to_keep_it_each_process_has_a_secret_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    nowhere = StateDirectory(tmp_path / "file" / "state")
    assert salt_secret("", nowhere) != salt_secret("", nowhere)
    assert "this process only" in caplog.text
    assert len(salt_secret("", None)) == 64


def test_a_step_that_is_taken_again_after_a_crash_has_one_line(state: StateDirectory) -> None:
    audit(state, "1:begun", "tenant.teardown.begun", "acme", epoch=1)
    state.append(AUDIT, b'{"cut sh')
    audit(state, "1:begun", "tenant.teardown.begun", "acme", epoch=1)
    audit(state, "1:ended", "tenant.teardown.ended", "acme \ud800")
    lines = last_lines(state)
    assert [line["action"] for line in lines] == ["tenant.teardown.begun", "tenant.teardown.ended"]
    assert lines[0]["epoch"] == 1
    assert lines[0]["subject"] == "acme"


def test_the_audit_log_knows_who_it_was_even_where_nobody_is_logged_in(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> object:
        raise KeyError(uid)

    known = pwd.getpwuid(os.getuid()).pw_name
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    audit(state, "1", "canary.start", "big")  # cron
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    audit(state, "2", "canary.start", "big")  # a container
    monkeypatch.setenv("USER", "ada")
    audit(state, "3", "canary.start", "big")
    users = [json.loads(line)["by"]["user"] for line in (state.path / AUDIT).read_text().splitlines()]
    assert users == [known, str(os.getuid()), "ada"]


def test_what_all_processes_counted_adds_up_within_the_window(state: StateDirectory) -> None:
    def count(attempts: int, now: float) -> None:
        assert add_counts(state, {"c1": {"big": Tally(attempts=attempts)}}, now, {"c1": 60})

    for attempts, now in ((1, 1000.0), (10, 1030.0), (100, 1075.0)):
        count(attempts, now)
    assert read_counts(state, "c1", "big", 1076, 60).attempts == 110
    assert read_counts(state, "c1", "other", 1076, 60).attempts == 0
    count(1000, 1300.0)
    slots = json.loads((state.path / WINDOW).read_text())
    assert list(slots) == ["1300"]


def test_numbers_of_a_canary_that_is_over_are_dropped(state: StateDirectory) -> None:
    add_counts(state, {"old": {"big": Tally(attempts=1)}}, 1000, {"old": 60})
    add_counts(state, {"new": {"big": Tally(attempts=1)}}, 1001, {"new": 60})
    assert read_counts(state, "old", "big", 1001, 60).attempts == 0
    assert read_counts(state, "new", "big", 1001, 60).attempts == 1


def test_numbers_wait_while_another_process_writes_and_a_damaged_file_costs_only_numbers(
    state: StateDirectory,
) -> None:
    with state.locked("window"):
        assert not add_counts(state, {"c": {"big": Tally(attempts=1)}}, 1000, {"c": 60})
    state.write(WINDOW, b"{")
    assert add_counts(state, {"c": {"big": Tally(attempts=1)}}, 1000, {"c": 60})
    assert read_counts(state, "c", "big", 1000, 60).attempts == 1
