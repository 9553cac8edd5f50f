"""SIGHUP makes a real process read its policy again, and never ends it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.observability.router import Running, router_process, write_policy

pytestmark = pytest.mark.anyio

HELLO = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", '
    b'"capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}}\n'
)


async def up(running: Running, transport: str) -> None:
    """Wait until the server serves; before that nobody takes the signal, and it ends the process."""
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
