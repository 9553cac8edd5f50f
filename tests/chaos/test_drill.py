"""The drill as an operator runs it, on runtimes that live."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.chaos import served
from tests.chaos.faults import Fault
from tests.chaos.fleet import ROOT, Fleet
from tests.chaos.houses import make_policy

pytestmark = pytest.mark.anyio


async def test_a_drill_harms_nobody_and_its_exit_code_tells_whether_failover_works(
    fleet: Fleet, tmp_path: Path
) -> None:
    path = served.written(make_policy(fleet.url("vllm"), fleet.url("ollama")), tmp_path)
    command = [sys.executable, "-m", "router_mcp", "drill", "--config", str(path), "--json"]
    done = await anyio.run_process(command, cwd=ROOT, stderr=subprocess.PIPE)
    (task,) = json.loads(done.stdout)["tasks"]
    assert (task["before"], task["served_by"]) == ("mixtral-8x7b-instruct", "llama3.1-8b-instruct")
    assert task["failover_s"] < task["allowed_s"]
    assert (await fleet.counts("vllm")).attempts == 1, "once before the drill"
    assert (await fleet.counts("ollama")).served == 2
    await fleet.set("ollama", Fault.REFUSE)
    done = await anyio.run_process(command, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "Start it" in json.loads(done.stdout)["tasks"][0]["problems"][0]
