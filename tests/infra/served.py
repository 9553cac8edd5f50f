"""The router as it is deployed: its own command, over HTTP, with a token and a list of allowed hosts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
from anyio.abc import SocketStream

from tests.infra.nginx import free_port

ROOT = Path(__file__).parents[2]
TOKEN = "5f1c9c" * 8
HOST = "router.example"
START_S = 60
BOUND_S = 60
"""Only so that a broken test ends."""

# Nothing listens there: what is tested is the door, not what is behind it.
POLICY = """
version: 1
runtimes:
  vllm: {kind: vllm, endpoints: ["http://127.0.0.1:9"]}
models:
  m: {runtime: vllm, context_window: 4096}
tasks:
  chat: {models: [m]}
defaults: {task: chat}
"""
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
BEARER = {"authorization": f"Bearer {TOKEN}"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}
LIST_TOOLS = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/list",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}


@dataclass(frozen=True, slots=True)
class Served:
    """A running router."""

    pid: int
    port: int

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=BOUND_S, trust_env=False)

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    def memory_mib(self) -> float:
        """Return what the process holds in memory."""
        said = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return int(said.stdout) / 1024


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "router_mcp", "serve", "--transport", "http", *args]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTER_MCP_", "LLM_TRACE"))}
    return kept | more


@contextmanager
def running(folder: Path) -> Iterator[Served]:
    """Run the router bound to every interface, as in a container; the tests call it on loopback."""
    policy = folder / "models-policy.yaml"
    policy.write_text(POLICY)
    environ = environment(ROUTER_MCP_TOKEN=TOKEN, ROUTER_MCP_ALLOWED_HOSTS=HOST)
    with started(command("--host", "0.0.0.0", "--config", str(policy)), environ, folder / "log") as served:
        yield served


@contextmanager
def started(args: list[str], environ: dict[str, str], log_file: Path) -> Iterator[Served]:
    """Run a server's command line on a free port, and yield it when it is healthy."""
    port = free_port()
    args = [*args, "--port", str(port)]
    with log_file.open("w+b") as log:
        process = subprocess.Popen(args, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await_health(process, port, log_file)
            yield Served(process.pid, port)
        finally:
            process.kill()  # how it leaves in order is tested elsewhere
            process.wait(BOUND_S)


def _await_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.perf_counter() + START_S
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # noqa: TID251 - a process of the operating system, on the real clock
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def post(body: object, *, session: str = "") -> bytes:
    """Return a POST to `/mcp` as bytes, for clients that are faster or ruder than httpx."""
    content = json.dumps(body).encode()
    head = f"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n"
    lines = {**ACCEPT, **BEARER}
    return (head + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode() + content


async def answer(stream: SocketStream) -> int:
    """Read one whole answer off a connection that stays open, and return its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"-1"))
    while len(body) < length if length >= 0 else not body.endswith(b"0\r\n\r\n"):
        body += await stream.receive()
    return int(head.split()[1])


def allow_files(wanted: int) -> int:
    """Raise this process's limit of open files, and return how many connections it can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + 500 if hard == resource.RLIM_INFINITY else min(hard, wanted + 500)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return min(wanted, max(soft, most) - 500)
