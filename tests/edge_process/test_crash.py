"""Commands that are killed for real, at each touch of the disk: the next one brings them to their end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp.operations import tenants
from router_mcp.operations.policy_change import PolicyText
from router_mcp.state.audit import last_lines
from router_mcp.state.directory import StateDirectory
from tests.canaries import POLICY
from tests.edge_process.dying import COMMANDS, tear_down
from tests.edge_process.process import ROOT
from tests.fake_vllm import FakeVllm

pytestmark = pytest.mark.anyio

FEWEST = 10
"""Touches that each of the commands must at least have been killed at, else the test tests nothing."""
TWO_BOXES = """\
version: 1 # one runtime, two replicas
runtimes: {{gpu: {{kind: vllm, endpoints: ["{one}", "{other}"]}}}}
models: {{big: {{runtime: gpu, context_window: 4096}}}}
tasks: {{reasoning: {{models: [big]}}}}
defaults: {{task: reasoning}}
"""


async def killed(folder: Path, command: str, policy: str) -> tuple[list[Path], Path]:
    """Return the sites where a command was killed, and the one where it came to its end undisturbed."""
    (folder / "policy.yaml").write_text(policy)
    line = [sys.executable, "-m", "tests.edge_process.dying", command, str(folder)]
    done = await anyio.run_process(line, cwd=ROOT, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr.decode()
    ended = int(done.stdout)
    assert ended >= FEWEST
    return [folder / str(touch) for touch in range(ended)], folder / str(ended)


def end_state(site: Path, name: str) -> tuple[Any, ...]:
    """Return all that a command leaves behind, but for times, random names, and what a write had begun."""
    state = json.loads((site / "state" / name).read_text())
    for past in state.get("history", ()):
        for key in ("at", "id", "policy", "backup"):
            del past[key]
    audited = [(line["action"], line["subject"]) for line in last_lines(StateDirectory(site / "state"))]
    files = sorted(str(path.relative_to(site)) for path in site.rglob("*") if not path.name.startswith("."))
    return (site / "policy.yaml").read_text(), state, audited, files


@pytest.mark.parametrize("command", ["promote", "rollback"])
async def test_a_change_of_the_policy_that_was_killed_is_brought_to_its_end(tmp_path: Path, command: str) -> None:
    sites, whole = await killed(tmp_path, command, POLICY)
    wanted = end_state(whole, "canaries.json")
    promoted = PolicyText(Path("p.yaml"), POLICY).promoted("big", {})
    assert sorted(promoted) == sorted(POLICY)  # comments and all, in another order
    assert wanted[0] == (promoted if command == "promote" else POLICY)
    for site in sites:
        assert (site / "policy.yaml").read_text() in {POLICY, promoted}
        COMMANDS[command](site)  # and no lock is held by the dead
        assert end_state(site, "canaries.json") == wanted, site.name


async def test_a_teardown_that_was_killed_is_brought_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "FOLLOWED_AFTER_S", tenants.FOLLOWED_AFTER_S)  # so that it is put back
    async with FakeVllm("one").running() as one, FakeVllm("other").running() as other:
        policy = TWO_BOXES.format(one=one.url, other=other.url)
        sites, whole = await killed(tmp_path, "teardown", policy)
        wanted = end_state(whole, "tenants.json")
        assert wanted[:2] == (policy, {"tenants": {"acme": {"epoch": 1}}})
        for site in sites:
            done = await tear_down(site)
            assert (done.epoch, done.complete) == (1, True)
            assert end_state(site, "tenants.json") == wanted, site.name
        assert min(one.resets, other.resets) >= len(sites)
