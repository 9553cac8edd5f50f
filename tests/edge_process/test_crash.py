"""A command that is killed for real, at every step of a promotion: the next one brings it to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router_mcp.comparison import Tally
from router_mcp.config import load_config
from router_mcp.operations.canary import Canaries
from router_mcp.state.directory import StateDirectory
from router_mcp.state.window import add_counts
from tests.canaries import POLICY
from tests.edge_process.process import ROOT

STEPS = ("backup", "intent", "policy", "audit", "state")
COMMAND = """
import os, signal, sys
from pathlib import Path
from router_mcp.operations.canary import Canaries
from router_mcp.state.directory import StateDirectory

def reached(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
environ = {"ROUTER_MCP_STATE": str(folder / "state")}
canaries = Canaries(StateDirectory(folder / "state"), folder / "p.yaml", environ, lambda: 0.0, reached)
getattr(canaries, sys.argv[3])("big")
"""


def ready(folder: Path) -> Canaries:
    """Have a canary that may be promoted."""
    (folder / "p.yaml").write_text(POLICY)
    environ = {"ROUTER_MCP_STATE": str(folder / "state")}
    canaries = Canaries(StateDirectory(folder / "state"), folder / "p.yaml", environ, lambda: 0.0)
    canary = canaries.start("big", share=0.2, shadow=False)
    canaries.tested("big", ())
    counted = {name: Tally(attempts=100) for name in ("big", "big-canary")}
    add_counts(canaries.state, {canary.id: counted}, 0.0, {canary.id: 120})
    return canaries


def run(folder: Path, step: str, command: str) -> int:
    line = [sys.executable, "-c", COMMAND, str(folder), step, command]
    return subprocess.run(line, cwd=ROOT, env=os.environ, timeout=60, check=False).returncode


@pytest.mark.parametrize("command", ["promote", "rollback"])
@pytest.mark.parametrize("step", STEPS)
def test_a_command_that_was_killed_is_brought_to_its_end_by_the_next(tmp_path: Path, step: str, command: str) -> None:
    canaries = ready(tmp_path)
    if command == "rollback":
        canaries.promote("big")
    assert run(tmp_path, step, command) == -signal.SIGKILL
    assert load_config(tmp_path / "p.yaml").tasks["reasoning"].models == ("big", "small")
    assert run(tmp_path, "none", command) == 0  # and no lock is held by the dead
    text = (tmp_path / "p.yaml").read_text()
    assert (text == POLICY) == (command == "rollback")
    assert text.count("#") == POLICY.count("#")
    assert canaries.known().canaries == {}
    assert [past.what for past in canaries.known().history] == ["promote", "rollback"][: 1 + (command == "rollback")]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
