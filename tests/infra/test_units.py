"""The nightly job outside Kubernetes: a timer, its service, and a line for cron."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.units import UNITS, cron_command, cron_line, exec_start, unit


def test_the_timer_runs_its_service_every_night() -> None:
    timer = unit("router-mcp-warm.timer")
    assert timer["Timer"]["OnCalendar"] == "*-*-* 03:30:00"
    assert timer["Timer"]["Persistent"] == "true"  # a laptop that slept warms when it wakes
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert (UNITS / "router-mcp-warm.service").exists()


def test_the_service_ends_and_may_do_little() -> None:
    service = unit("router-mcp-warm.service")["Service"]
    assert service["Type"] == "oneshot"
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp"):
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "router-mcp"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_itself_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in ("router-mcp-warm.service", "router-mcp-warm.timer"):
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("ExecStart=router-mcp", f"ExecStart={sys.executable}"))
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_cron_and_systemd_and_the_chart_run_the_same_command() -> None:
    assert (
        cron_command("router-mcp-warm.cron")
        == exec_start("router-mcp-warm.service")
        == ["router-mcp", "warm", "--json"]
    )


def test_the_line_for_cron_has_five_fields_of_time_and_a_user() -> None:
    line = cron_line("router-mcp-warm.cron")
    assert re.match(r"30 3 \* \* \* router-mcp ", line)
    assert "%" not in line  # cron would take it for a line break


def test_cron_gives_the_job_the_variables_of_the_servers(tmp_path: Path) -> None:
    for name, script in {"router-mcp": 'echo "$ROUTER_MCP_STATE $*"', "logger": "cat"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o700)
    (tmp_path / "environment").write_text("ROUTER_MCP_STATE=/srv/orders\n")
    command = cron_line("router-mcp-warm.cron").partition(" router-mcp ")[2]  # after the user
    command = command.replace("/etc/router-mcp/environment", str(tmp_path / "environment"))
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True, env=environ)
    assert (done.stdout, done.stderr) == ("/srv/orders warm --json\n", "")
