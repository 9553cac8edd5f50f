"""What most commands begin with: the policy that is in force, and a router opened on it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import typer

from router_mcp.config import default_path, load_config
from router_mcp.errors import InvalidArgumentsError
from router_mcp.router import Router
from router_mcp.wiring import open_router

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Policy file. Default: $ROUTER_MCP_CONFIG, else the one that ships.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="Task of the policy. Default: defaults.task.")]


def with_router(config: Path | None, work: Callable[[Router], Awaitable[T]]) -> T:
    """Open a router on the policy, do the work, close it; return what the work returns."""

    async def run() -> T:
        async with open_router(load_config(config or default_path())) as router:
            return await work(router)

    return anyio.run(run)


def read_prompt(prompt: str) -> str:
    """Return the prompt, from stdin when it is `-`."""
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise InvalidArgumentsError("The text on stdin is not UTF-8. Convert it first.") from None


def read_file(path: Path, what: str) -> str:
    """Return a text file's content, or say what is wrong with it."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InvalidArgumentsError(f"{path}: the {what} cannot be read ({reason}).") from None
