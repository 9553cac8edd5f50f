"""Processes under measurement: the upstream, MCP servers over stdio and HTTP, and peers, with their CPU seconds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
import psutil
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.dispatcher import ProgressFnT

ROOT = Path(__file__).parents[1]
MANY_CORES = 4
"""From so many on, the upstream gets a core of its own; with fewer it would only be in the way."""
QUIET = {"PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Batch:
    """What a batch of calls cost."""

    cpu_ms: float
    """CPU of the process, per call."""
    calls_per_s: float
    p50_ms: float
    p99_ms: float


class Measured(Protocol):
    """Something that makes calls and can be measured."""

    name: str

    async def measure(self, size: int, *, calls: int, at_once: int) -> Batch:
        """Make `calls` calls with prompts of `size` characters, `at_once` in flight."""
        ...


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def upstream() -> Generator[str]:
    """Run the stub runtime, on a core of its own where there are enough, and yield its base URL."""
    port, cores = free_port(), os.cpu_count() or 1
    with subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", str(port)], cwd=ROOT) as process:
        try:
            if cores >= MANY_CORES and sys.platform == "linux":
                psutil.Process(process.pid).cpu_affinity([cores - 1])
                psutil.Process().cpu_affinity(list(range(cores - 1)))
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    """Return once somebody listens there."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # noqa: TID251 - nothing runs here yet
    raise RuntimeError(f"nobody listens on port {port}")


@dataclass
class Subject:
    """An MCP server that is measured; `arguments` and `tool` say what every call of it is."""

    name: str
    client: Client
    process: psutil.Process
    tool: str = "generate"
    arguments: dict[str, Any] = field(default_factory=dict)
    on_progress: ProgressFnT | None = None

    def cpu_s(self) -> float:
        """CPU seconds that the server's process has used so far."""
        return cpu_s(self.process)

    def rss_mb(self) -> float:
        """Resident memory, in MB."""
        return float(self.process.memory_info().rss) / 1e6

    async def call(self, prompt: str) -> None:
        """Make one call, and fail loudly when it failed."""
        arguments = {"prompt": prompt, **self.arguments}
        result = await self.client.call_tool(self.tool, arguments, progress_callback=self.on_progress)
        if result.is_error:
            raise RuntimeError(f"{self.name}: {result.content}")

    async def measure(self, size: int, *, calls: int, at_once: int) -> Batch:
        """Make `calls` calls, `at_once` in flight."""
        return await measure(self, "word " * (size // 5), calls=calls, at_once=at_once)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used so far."""
    if sys.platform == "linux":  # whose clock of a process (clock_getcpuclockid) is a thousand times finer
        return time.clock_gettime((~process.pid << 3) | 2)
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def subject(
    name: str, command: Sequence[str], env: Mapping[str, str], *, tool: str = "generate", **arguments: Any
) -> AsyncGenerator[Subject]:
    """Start a stdio server and yield it, connected; what it logs goes nowhere."""
    before = {child.pid for child in psutil.Process().children()}
    given = {**os.environ, **QUIET, **env}
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env=given, cwd=ROOT)
    with Path(os.devnull).open("w") as nowhere:  # noqa: ASYNC230 - it takes no time
        async with Client(stdio_client(parameters, errlog=nowhere)) as client:
            await client.list_tools()
            started = [child for child in psutil.Process().children() if child.pid not in before]
            yield Subject(name, client, started[-1], tool, arguments)


@asynccontextmanager
async def http_subject(
    name: str, command: Callable[[int], Sequence[str]], env: Mapping[str, str]
) -> AsyncGenerator[Subject]:
    """Start an HTTP server, told its port, and yield it, connected."""
    port = free_port()
    given = {**os.environ, **QUIET, **env}
    with subprocess.Popen(  # noqa: ASYNC220 - it takes no time
        command(port), env=given, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        try:
            wait_for(port)
            async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                await client.list_tools()
                yield Subject(name, client, psutil.Process(process.pid))
        finally:
            process.terminate()


class Driver:
    """A process that makes calls itself, in its own Python, and says what they cost: one line asks, one answers."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to one question."""
        return await anyio.to_thread.run_sync(self._ask, json.dumps(question))

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended")
        return dict(json.loads(answer))

    async def measure(self, size: int, *, calls: int, at_once: int) -> Batch:
        """Have it make the calls."""
        return Batch(**await self.ask(size=size, calls=calls, at_once=at_once))


@contextmanager
def driver(name: str, module: str, env: Mapping[str, str], python: Path | None = None) -> Generator[Driver]:
    """Start a driver in a Python that may be another one than this."""
    with subprocess.Popen(
        [python or sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET, **env},
        cwd=ROOT,
        text=True,
    ) as process:
        try:
            yield Driver(name, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.terminate()


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
    return Batch(1000 * cpu / calls, calls / wall, *(1000 * quantile(waits, part) for part in (0.5, 0.99)))


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value that so large a part of the others does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
