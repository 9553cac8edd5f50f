"""What the tests of the embedded runtime share: calls, a listener, and a look at processes."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Call, Endpoint, Message
from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.runtimes.llama_process import LlamaProcess
from router_mcp.runtimes.llama_supervisor import Limits

ENDPOINT = Endpoint(runtime="embedded", url="embedded:embedded")
WINDOW = 512


def call(prompt: str = "Say hello.", **changes: Any) -> Call:
    values: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "model": "smollm2-135m-instruct",
        "messages": (Message(role="user", content=prompt),),
        "temperature": 0.0,
        "max_output_tokens": 8,
        "context_window": WINDOW,
        "request_id": "test",
        "seed": 1,
    }
    return Call(**values | changes)


@dataclass
class Heard:
    """A listener that remembers, and tells when the first text has come."""

    texts: list[str] = field(default_factory=list)
    thoughts: int = 0
    spoke: anyio.Event = field(default_factory=anyio.Event)

    def text(self, delta: str) -> None:
        self.texts.append(delta)
        self.spoke.set()

    def alive(self) -> None:
        self.thoughts += 1


def runtime_with(gguf: Path | str, *, slots: int = 2, limits: Limits | None = None, **more: Any) -> EmbeddedRuntime:
    config = RuntimeConfig(kind="embedded", gguf=str(gguf), max_concurrency=slots)
    return EmbeddedRuntime(config, context_window=WINDOW, limits=limits, **more)


@asynccontextmanager
async def opened(runtime: EmbeddedRuntime) -> AsyncGenerator[EmbeddedRuntime]:
    try:
        with anyio.fail_after(60):
            yield runtime
    finally:
        await runtime.aclose()


def child_of(runtime: EmbeddedRuntime) -> LlamaProcess:
    child = runtime._supervisor._child
    assert child is not None
    return child


def runs(pid: int) -> bool:
    """Whether a process is there and is more than an entry that its parent has not read yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on macOS; on Linux it has just gone
        return not Path("/proc").is_dir()
    return state != "Z"


async def becomes(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process does, of which no event tells."""
    with anyio.fail_after(10):
        while not await condition():
            await anyio.sleep(0.02)


async def is_gone(pid: int) -> None:
    async def gone() -> bool:
        return not runs(pid)

    await becomes(gone)
