"""The real server process on the fakes, and MCP clients that talk to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from router_mcp.config.policy_file import PolicyFile
from tests.chaos.fleet import ROOT, Fleet

START_S = 30
END_S = 20


def written(policy: PolicyFile, folder: Path) -> Path:
    """Write a policy where a server can read it; JSON is YAML."""
    path = folder / "policy.yaml"
    path.write_text(policy.model_dump_json(exclude_unset=True))
    return path


def command(path: Path, *options: str) -> list[str]:
    return ["-m", "router_mcp", "serve", "--config", str(path), *options]


@asynccontextmanager
async def stdio(path: Path) -> AsyncGenerator[Client]:
    """Start a server as a client does, and talk to it."""
    parameters = StdioServerParameters(command=sys.executable, args=command(path), cwd=ROOT, env=dict(os.environ))
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 - nothing is read or waited for
        async with Client(stdio_client(parameters, errlog=log)) as client:
            yield client


@asynccontextmanager
async def http(path: Path) -> AsyncGenerator[tuple[anyio.abc.Process, str]]:
    """Start a server on a free port; return its process and its URL. It is told to leave at the end."""
    arguments = command(path, "--transport", "http", "--port", "0")
    async with await anyio.open_process(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        log = BufferedByteReceiveStream(process.stderr)
        with anyio.fail_after(START_S):
            while b" answers on " not in (line := await log.receive_until(b"\n", 1_000_000)):
                pass
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_on, log)  # a full pipe would stop the server
            try:
                yield process, line.split(b" on ")[1].split()[0].decode()
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(END_S):
                    if process.returncode is None:
                        process.terminate()
                        await process.wait()
                tasks.cancel_scope.cancel()


async def seconds_to_close(client: Client, fleet: Fleet, name: str) -> float:
    """Cancel a call that a fake works on, and return how long it took to see its connection closed."""
    await client.list_tools()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "generate", {"prompt": "hi"})
        await until(fleet, name, in_flight=1)
        cancelled_at = time.monotonic()  # noqa: TID251 - the fake's clock, which is the machine's
        tasks.cancel_scope.cancel()
    return await until(fleet, name, in_flight=0) - cancelled_at


async def until(fleet: Fleet, name: str, *, in_flight: int) -> float:
    """Wait until a fake works on so many calls, and return when it last lost one."""
    with anyio.fail_after(END_S):
        while (counts := await fleet.counts(name)).in_flight != in_flight:
            await anyio.sleep(0.01)
    return counts.last_closed_at


async def _read_on(log: BufferedByteReceiveStream) -> None:
    try:
        while True:
            await log.receive()
    except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        return
