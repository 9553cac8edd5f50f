"""Runs a command in children that die, each at one touch of the disk later than the one before.

A process of its own (`python -m tests.edge_process.dying COMMAND FOLDER`), because a fork of the tests would take
their event loop along. The folder has a `policy.yaml`; each child gets a site of its own beside it, named by the
touches that it lived through, and the one that lived to its end is named last, on stdout.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio

from router_mcp.comparison import Tally
from router_mcp.config import load_config
from router_mcp.operations import tenants
from router_mcp.operations.canary import Canaries
from router_mcp.state.directory import StateDirectory
from router_mcp.state.window import add_counts
from router_mcp.wiring import Outside, open_router

TOUCHES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.chmod"})
TENANT, MODEL = "acme", "big"


def canaries_of(site: Path) -> Canaries:
    """Return the canaries of a site."""
    state = StateDirectory(site / "state")
    return Canaries(state, site / "policy.yaml", {"ROUTER_MCP_STATE": str(state)}, lambda: 0.0)


def promote(site: Path) -> None:
    """Promote the canary, or bring that to its end."""
    canaries_of(site).promote(MODEL)


def rollback(site: Path) -> None:
    """Undo the promotion, or bring that to its end."""
    canaries_of(site).rollback(MODEL)


async def tear_down(site: Path) -> tenants.Teardown:
    """Tear the tenant down, or bring that to its end; nobody follows, so there is nobody to wait for."""
    tenants.FOLLOWED_AFTER_S = 0.0
    outside = Outside(environ={"ROUTER_MCP_STATE": str(site / "state"), "ROUTER_MCP_SALT_SECRET": "s" * 32})
    async with open_router(load_config(site / "policy.yaml"), None, outside) as router:
        return await tenants.teardown(router, TENANT, patience_s=20)


def teardown(site: Path) -> None:
    """As `tear_down`, in a loop of its own."""
    if not anyio.run(tear_down, site).complete:
        sys.exit(1)


COMMANDS: Mapping[str, Callable[[Path], None]] = {"promote": promote, "rollback": rollback, "teardown": teardown}


def ready(site: Path, command: str, policy: str) -> None:
    """Have all that a command needs to succeed."""
    site.mkdir()
    (site / "policy.yaml").write_text(policy)
    if command == "teardown":
        return
    canaries = canaries_of(site)
    canary = canaries.start(MODEL, share=0.2, shadow=False)
    canaries.tested(MODEL, ())
    counted = {name: Tally(attempts=100) for name in (MODEL, canary.candidate)}
    add_counts(canaries.state, {canary.id: counted}, 0.0, {canary.id: 120})
    if command == "rollback":
        canaries.promote(MODEL)


def die_at(touch: int) -> None:
    """End this process as a power cut would, just before it touches the disk once more than so often."""
    left = iter(range(touch))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if (writes or event in TOUCHES) and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(command: str, folder: Path) -> None:
    """Kill, one touch later each time, until a child lives to its end."""
    sys.dont_write_bytecode = True
    importlib.import_module("router_mcp.runtimes.vllm")  # else each child would do so by itself
    policy = (folder / "policy.yaml").read_text()
    for touch in itertools.count():
        site = folder / str(touch)
        ready(site, command, policy)
        child = os.fork()
        if child == 0:
            die_at(touch)
            COMMANDS[command](site)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended != -signal.SIGKILL:
            sys.stdout.write(site.name)
            sys.exit(ended)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
