"""A small server made with the edge toolkit; run it with `python -m tests.edge.demo stdio|http`.

It appends what happens inside it to the file named in DEMO_NOTES, so that tests can tell what a process did.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from router_mcp.domain import Attempt, Receipt
from router_mcp.edge.arguments import StrictTool, strict_tool
from router_mcp.edge.bind import check_bind
from router_mcp.edge.guard import principal_of
from router_mcp.edge.http import MIB, HttpApp, HttpLimits
from router_mcp.edge.logs import configure_logging
from router_mcp.edge.progress import heartbeats
from router_mcp.edge.run import serve_http, serve_stdio
from router_mcp.edge.subscriptions import ResourceChanges
from router_mcp.errors import BusyError, InvalidArgumentsError, UnknownTaskError

RECEIPT = Receipt(
    request_id="r-1",
    task="chat",
    deadline_s=30.0,
    seconds=1.23456,
    attempts=(Attempt(model="m", runtime="vllm", endpoint="http://a", outcome="ok", seconds=1.23456),),
    notes=("temperature clamped",),
)


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str


class Said(BaseModel):
    text: str
    heard: dict[str, Any]
    turn: Turn | None = None


class Work:
    """A progress source that a test moves by hand."""

    def __init__(self) -> None:
        self.count = 0.0
        self.state = "waiting"

    def describe(self) -> str:
        return self.state


@dataclass
class State:
    changes: ResourceChanges


def note(text: str) -> None:
    if path := os.environ.get("DEMO_NOTES"):
        with Path(path).open("a") as file:
            file.write(text + "\n")


def said(text: str, **heard: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], structured_content={"text": text, "heard": heard})


async def echo(
    prompt: Annotated[str, Field(min_length=1, description="What to say.")],
    system: str | None = None,
    history: list[Turn] | None = None,
    options: dict[str, Any] | None = None,
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None,
    seed: int | None = None,
    task: str | None = None,
    encoding: Literal["float", "base64"] = "float",
) -> Annotated[CallToolResult, Said]:
    """Say what was heard."""
    turns = None if history is None else [turn.model_dump() for turn in history]
    return said(
        prompt,
        system=system,
        history=turns,
        options=options,
        temperature=temperature,
        seed=seed,
        task=task,
        encoding=encoding,
    )


async def fail(how: str) -> Annotated[CallToolResult, Said]:
    """Fail in one of several ways."""
    if how == "busy":
        raise BusyError("Everything is full. Try again in 2 s.", retry_after_s=2.0)
    if how == "unknown":
        error = UnknownTaskError("There is no task 'x\ud800'. There are: chat.")
        error.receipt = RECEIPT
        raise error
    if how == "arguments":
        raise InvalidArgumentsError("Give one of json_schema and choices.")
    raise RuntimeError("the password is 1234")


async def wait(ctx: Context[State], seconds: float = 3600) -> Annotated[CallToolResult, Said]:
    """Work for a while, with signs of life."""
    note("started")
    try:
        async with heartbeats(ctx, Work(), every_s=0.2, throttle_s=0.1):
            await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise
    note("finished")
    return said("done")


async def chatter() -> Annotated[CallToolResult, Said]:
    """Write to stdout in every way that a library might."""
    print("printed")  # noqa: T201 - that is the point
    sys.stdout.flush()
    os.write(1, b"raw\n")
    child = [sys.executable, "-c", "import sys; print('child'); print(repr(sys.stdin.read()), file=sys.stderr)"]
    with anyio.CancelScope(shield=True):
        await anyio.run_process(child, stdin=None, stdout=None, stderr=None)
    return said("quiet")


async def whoami(ctx: Context[State]) -> Annotated[CallToolResult, Said]:
    """Say whose token came with the call."""
    return said(str(principal_of(ctx)))


async def touch(ctx: Context[State]) -> Annotated[CallToolResult, Said]:
    """Change the resource that clients may watch."""
    ctx.request_context.lifespan_context.changes.changed("demo://state")
    return said("touched")


def state() -> str:
    """Return what `touch` changes."""
    return json.dumps({"state": "well"})


def make_tools() -> list[StrictTool]:
    return [
        strict_tool(fn, annotations=ToolAnnotations(read_only_hint=True))
        for fn in (echo, fail, wait, chatter, whoami, touch)
    ]


def make_server(changes: ResourceChanges | None = None) -> MCPServer[State]:
    shared = changes or ResourceChanges()

    @asynccontextmanager
    async def lifespan(server: MCPServer[State]) -> AsyncGenerator[State]:
        note("entered")
        async with anyio.create_task_group() as group:
            group.start_soon(shared.publish_forever)
            yield State(shared)
            group.cancel_scope.cancel()
        # A cancelled exit would not get past this.
        await anyio.sleep(float(os.environ.get("DEMO_EXIT_S", "0.05")))
        note("left")

    server: MCPServer[State] = MCPServer("demo", version="1", tools=list(make_tools()), lifespan=lifespan)
    server.resource("demo://state", name="state", mime_type="application/json")(state)
    shared.attach(server)
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["stdio", "http"])
    parser.add_argument("--grace", type=int, default=5)
    args = parser.parse_args()
    configure_logging("json")
    changes = ResourceChanges()
    server = make_server(changes)
    if args.transport == "stdio":
        anyio.run(lambda: serve_stdio(server, grace_s=args.grace))
        return
    limits = HttpLimits(body_bytes=MIB, body_s=1, head_s=1, sessions=3, connections=20)
    app = HttpApp(server, check_bind("127.0.0.1", os.environ, prefix="DEMO"), limits=limits, changes=changes)
    anyio.run(lambda: serve_http(app, port=0, grace_s=args.grace))


if __name__ == "__main__":
    main()
