"""The demo server as a real process, on stdio or HTTP, with everything that it says and does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import StdioServerParameters

ROOT = Path(__file__).parents[2]
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
PATIENCE_S = 20
"""Long enough for a loaded machine; nothing is expected to take a tenth of it."""


class Demo:
    """A running demo server."""

    def __init__(self, process: Process, notes: Path) -> None:
        self.process = process
        self._notes = notes
        self._stdout = BufferedByteReceiveStream(process.stdout) if process.stdout else None
        self._stderr = BufferedByteReceiveStream(process.stderr) if process.stderr else None
        self.log: list[dict[str, Any]] = []

    def notes(self) -> list[str]:
        return self._notes.read_text().split()

    async def noted(self, note: str) -> None:
        """Wait until the server wrote this down."""
        with anyio.fail_after(PATIENCE_S):
            while note not in self.notes():
                await anyio.sleep(0.01)

    async def send(self, message: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        await self.process.stdin.send(line + b"\n")

    async def receive(self) -> dict[str, Any]:
        """Return the next message; anything on stdout that is not one fails the test."""
        assert self._stdout is not None
        with anyio.fail_after(PATIENCE_S):
            line = await self._stdout.receive_until(b"\n", 10_000_000)
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    async def answer(self, to: int) -> dict[str, Any]:
        while (message := await self.receive()).get("id") != to:
            pass
        return message

    async def call(self, tool: str, arguments: dict[str, Any], call_id: int = 1) -> None:
        params = {"name": tool, "arguments": arguments, "_meta": MODERN}
        await self.send({"id": call_id, "method": "tools/call", "params": params})

    async def logged(self, part: str) -> str:
        """Wait for a log message that contains this, and return it."""
        assert self._stderr is not None
        with anyio.fail_after(PATIENCE_S):
            while True:
                line = json.loads(await self._stderr.receive_until(b"\n", 1_000_000))
                self.log.append(line)
                if part in line["message"]:
                    return str(line["message"])

    async def wait(self) -> int:
        with anyio.fail_after(PATIENCE_S):
            return await self.process.wait()

    async def end(self, how: str) -> int:
        """End it in one of the ways that a server meets, and return its exit code."""
        if how == "EOF":
            assert self.process.stdin is not None
            await self.process.stdin.aclose()
        else:
            self.process.send_signal(getattr(signal, how))
        return await self.wait()

    async def rest_of_stdout(self) -> bytes:
        assert self.process.stdout is not None
        assert self._stdout is not None
        rest = self._stdout.buffer
        async for chunk in self.process.stdout:
            rest += chunk
        return rest


def command(transport: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "tests.edge.demo", transport, *options]


def stdio_parameters(notes: Path) -> StdioServerParameters:
    first, *rest = command("stdio")
    return StdioServerParameters(command=first, args=rest, cwd=ROOT, env={**os.environ, "DEMO_NOTES": str(notes)})


@asynccontextmanager
async def running(
    transport: str, *options: str, environ: dict[str, str] | None = None, stdout: int = subprocess.PIPE
) -> AsyncGenerator[Demo]:
    """Run the demo server; it is ended if a test left it running."""
    with tempfile.NamedTemporaryFile() as notes:
        env = {**os.environ, "DEMO_NOTES": notes.name, **(environ or {})}
        async with await anyio.open_process(command(transport, *options), cwd=ROOT, env=env, stdout=stdout) as process:
            demo = Demo(process, Path(notes.name))
            try:
                await demo.noted("entered")
                yield demo
            finally:
                with anyio.move_on_after(5, shield=True):
                    if process.returncode is None:
                        process.terminate()
                        await process.wait()
                if process.returncode is None:
                    process.kill()


@asynccontextmanager
async def running_http(*options: str, environ: dict[str, str] | None = None) -> AsyncGenerator[tuple[Demo, str]]:
    """Run the demo server over HTTP; also return its base URL."""
    async with running("http", *options, environ=environ) as demo:
        said = await demo.logged("answers on")
        yield demo, said.split(" on ")[1].removesuffix("/mcp")
