"""`router-mcp serve` as a real process, on a policy of the test and a stand-in for vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
"""Long enough for a loaded machine."""
POLICY = """
version: 1
runtimes:
  gpu: {{kind: vllm, endpoints: ["{url}"], allow_insecure: true, max_concurrency: 4}}
  gone: {{kind: vllm, endpoints: ["http://127.0.0.1:9"], allow_insecure: true}}
models:
  good: {{runtime: gpu, context_window: 4096}}
  cut: {{runtime: gpu, context_window: 4096}}
  wrong-once: {{runtime: gpu, context_window: 4096}}
  silent: {{runtime: gpu, context_window: 4096}}
  lost: {{runtime: gone, context_window: 4096}}
tasks:
  plain: {{models: [good]}}
  cut-first: {{models: [cut, good]}}
  lost-first: {{models: [lost, good]}}
  shaped: {{models: [wrong-once]}}
  silent: {{models: [silent]}}
defaults: {{task: plain}}
health: {{interval: 1, timeout: 5}}
"""


class Running:
    """A running server and its log."""

    def __init__(self, process: Process) -> None:
        assert process.stderr is not None
        self.process = process
        self.log: list[dict[str, Any]] = []
        self._stderr = BufferedByteReceiveStream(process.stderr)

    async def logged(self, part: str) -> dict[str, Any]:
        """Wait for a log line whose message contains this, and return it."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                text = await self._stderr.receive_until(b"\n", 1_000_000)
                if not text.startswith(b"{"):
                    continue
                line: dict[str, Any] = json.loads(text)
                self.log.append(line)
                if part in line["message"]:
                    return line

    async def leave(self) -> int:
        """Tell it to stop, and return its exit code."""
        self.process.terminate()
        with anyio.fail_after(PATIENCE_S):
            return await self.process.wait()


def write_policy(folder: Path, upstream: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(POLICY.format(url=upstream))
    return path


@asynccontextmanager
async def router_process(
    policy: Path, *options: str, environ: dict[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> AsyncGenerator[Running]:
    """Run the server with JSON logs; it is killed at the end if a test left it running."""
    command = [sys.executable, "-m", "router_mcp", "serve", "--config", str(policy), "--log-format", "json", *options]
    env = {**os.environ, **(environ or {})}
    async with await anyio.open_process(command, cwd=ROOT, env=env, stdin=stdin, stdout=subprocess.PIPE) as process:
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def router_http(policy: Path, environ: dict[str, str] | None = None) -> AsyncGenerator[tuple[Running, str]]:
    """Run the server over HTTP; also yield its base URL."""
    async with router_process(policy, "--transport", "http", "--port", "0", environ=environ) as running:
        said = await running.logged("answers on")
        yield running, str(said["message"]).split(" on ")[1].removesuffix("/mcp")
