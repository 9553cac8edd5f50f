"""Processes under measurement: the upstream on a core of its own, and MCP servers with their CPU seconds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import psutil
from mcp import Client, StdioServerParameters


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def upstream() -> Generator[str]:
    """Run the stub runtime and yield its base URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", str(port)]) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # noqa: TID251 - nothing runs here yet
    raise RuntimeError("the stub runtime did not start")


@dataclass
class Subject:
    """An MCP server that is measured."""

    name: str
    client: Client
    process: psutil.Process
    arguments: dict[str, Any] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """CPU seconds that the server's process has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Resident memory, in MB."""
        return float(self.process.memory_info().rss) / 1e6

    async def call(self, prompt: str) -> None:
        """Make one call, and fail loudly when it failed."""
        result = await self.client.call_tool("generate", {"prompt": prompt, **self.arguments})
        if result.is_error:
            raise RuntimeError(f"{self.name}: {result.content}")


@asynccontextmanager
async def subject(name: str, command: list[str], env: dict[str, str], **arguments: Any) -> AsyncGenerator[Subject]:
    """Start a stdio server and yield it, connected."""
    before = {child.pid for child in psutil.Process().children()}
    parameters = StdioServerParameters(command=command[0], args=command[1:], env={**os.environ, **env})
    async with Client(parameters) as client:
        await client.list_tools()
        started = [child for child in psutil.Process().children() if child.pid not in before]
        yield Subject(name, client, started[-1], arguments)


@dataclass(frozen=True)
class Batch:
    """What a batch of calls cost."""

    cpu_ms: float
    """CPU of the server, per call."""
    calls_per_s: float
    p50_ms: float
    p99_ms: float


async def measure(server: Subject, prompt: str, *, calls: int, at_once: int) -> Batch:
    """Make `calls` calls, `at_once` in flight."""
    left = iter(range(calls))
    waits: list[float] = []

    async def worker() -> None:
        for _ in left:
            begun = time.perf_counter()
            await server.call(prompt)
            waits.append(time.perf_counter() - begun)

    cpu, wall = server.cpu_s(), time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(min(at_once, calls)):
            tasks.start_soon(worker)
    cpu, wall = server.cpu_s() - cpu, time.perf_counter() - wall
    waits.sort()
    return Batch(
        cpu_ms=1000 * cpu / calls,
        calls_per_s=calls / wall,
        p50_ms=1000 * waits[len(waits) // 2],
        p99_ms=1000 * waits[min(len(waits) - 1, int(len(waits) * 0.99))],
    )
