"""SIGHUP makes a real process read its policy again, and never ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.observability.router import PATIENCE_S, Running, router_process, write_policy

pytestmark = pytest.mark.anyio

HELLO = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", '
    b'"capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}}\n'
)


async def up(running: Running, transport: str) -> None:
    """Wait until the server serves."""
    if transport == "http":
        await running.logged("answers on")
        return
    assert running.process.stdin is not None
    assert running.process.stdout is not None
    await running.process.stdin.send(HELLO)
    await running.process.stdout.receive()


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_hangup_reloads_the_policy(tmp_path: Path, transport: str) -> None:
    policy = write_policy(tmp_path, "http://127.0.0.1:19")
    options = ("--transport", transport, *(("--port", "0") if transport == "http" else ()))
    async with router_process(policy, *options, stdin=subprocess.PIPE) as running:
        await up(running, transport)
        running.process.send_signal(signal.SIGHUP)
        await running.logged("The policy was reloaded from")
        policy.write_text(policy.read_text() + "nonsense: true\n")
        running.process.send_signal(signal.SIGHUP)
        await running.logged("The policy was not reloaded")
        assert running.process.returncode is None
        assert await running.leave() == 0


async def has_begun(process: anyio.abc.Process) -> None:
    """Wait until the process is past the interpreter's own start, in which every signal ends it."""
    status = Path(f"/proc/{process.pid}/status")
    with anyio.fail_after(PATIENCE_S):
        while True:
            ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
            if int(ignored.split()[1], 16) & 1 << (signal.SIGHUP - 1):
                return
            await anyio.sleep(0.005)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_hangup_while_the_server_starts_does_not_end_it(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, "http://127.0.0.1:19")
    async with router_process(policy, "--transport", "http", "--port", "0") as running:
        await has_begun(running.process)

        async def pester() -> None:
            while True:
                running.process.send_signal(signal.SIGHUP)
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pester)
            await running.logged("answers on")
            await running.logged("The policy was reloaded from")
            tasks.cancel_scope.cancel()
        assert await running.leave() == 0
