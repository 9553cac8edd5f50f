"""`router-mcp demo`: both servers over stdio, a real MCP client, real embedded models; nothing else needed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TextIO, cast

import anyio
import typer
from rich.panel import Panel
from rich.text import Text

from router_mcp.cli.terminal import stderr
from router_mcp.cli.weights import fetch_weights
from router_mcp.config import profile_path

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from rich.console import Console

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 40, "description": "Name of the capital"},
        "population_millions": {"type": "number", "minimum": 0, "maximum": 50},
        "continent": {"enum": ["Africa", "America", "Asia", "Europe", "Oceania"]},
    },
    "required": ["city", "population_millions", "continent"],
    "additionalProperties": False,
}
PASSAGES = [
    "Set a timer for nine minutes to boil an egg hard.",
    "A bearer token is sent in the Authorization header of every request.",
    "Replace the chain when it has stretched by three quarters of a percent.",
    "Prefix caching lets a model skip the part of a prompt that it has read before.",
]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One tool call and how to tell that a model answered it."""

    tool: str
    arguments: dict[str, Any]


ROUTER_CALLS = (
    Demonstration("generate", {"task": "summarisation", "temperature": 0, "max_output_tokens": 60, "prompt": (
        "Summarise in one sentence: The lighthouse of Alexandria stood for sixteen centuries. Earthquakes damaged it "
        "again and again, and its last stones were used to build a fort.")}),
    Demonstration("structured_generate", {"task": "reasoning", "temperature": 0, "json_schema": SCHEMA,
        "prompt": "What is the capital of France? Give its population in millions and its continent."}),
)  # fmt: skip
EMBEDDINGS_CALL = Demonstration("rank_texts", {"query": "How long do eggs boil?", "texts": PASSAGES, "top_k": 2})


def demo() -> None:
    """Call generate, structured_generate and rank_texts on models that run inside this machine's memory."""
    console = stderr()
    console.file = sys.stdout
    fetch_weights()
    began = time.perf_counter()
    good = anyio.run(_demonstrate, console)
    console.print(f"{'Done' if good else 'Failed'} in {time.perf_counter() - began:.1f} s.")
    raise typer.Exit(0 if good else 1)


async def _demonstrate(console: Console) -> bool:
    from mcp import Client, StdioServerParameters  # noqa: PLC0415 - mcp takes a second to import
    from mcp.client.stdio import stdio_client  # noqa: PLC0415 - as above

    servers = (
        ("router_mcp", {"ROUTER_MCP_CONFIG": str(profile_path("embedded"))}, ROUTER_CALLS),
        ("embeddings_mcp", {"EMBEDDINGS_MODEL": "wordllama"}, (EMBEDDINGS_CALL,)),
    )
    good = True
    for module, env, calls in servers:
        arguments = ["-m", module, "serve"]
        server = StdioServerParameters(command=sys.executable, args=arguments, env={**os.environ, **env})
        with logged_on_failure() as log:
            async with Client(stdio_client(server, errlog=log.file)) as client:
                log.good = await _show(console, client, module, calls)
        good &= log.good
    return good


@dataclass(slots=True)
class Log:
    """What a server says on stderr, and whether it may be forgotten."""

    file: TextIO
    good: bool = False


@contextmanager
def logged_on_failure() -> Generator[Log]:
    """Keep a server's log lines back; print them on stderr at the end only if it was not good."""
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        log = Log(cast("TextIO", file))
        try:
            yield log
        finally:
            if not log.good:
                file.seek(0)
                sys.stderr.write(file.read())


async def _show(console: Console, client: Client, module: str, calls: tuple[Demonstration, ...]) -> bool:
    tools = (await client.list_tools()).tools
    console.rule(f"[bold]{module.replace('_', '-')}[/bold] serves {', '.join(tool.name for tool in tools)}")
    good = True
    for call in calls:
        result = await client.call_tool(call.tool, call.arguments, read_timeout_seconds=120)
        problem = _problem(call, result)
        good &= problem is None
        console.print(_panel(call, result, problem))
    return good


def _problem(call: Demonstration, result: CallToolResult) -> str | None:
    """Say why a result does not count: it is an error, names no model, or breaks the schema that was asked for."""
    answer = result.structured_content or {}
    if result.is_error:
        return "an error"
    if not answer.get("model"):
        return "no model is named"
    if "json_schema" in call.arguments:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - only here

        found = next(Draft202012Validator(SCHEMA).iter_errors(answer.get("data")), None)
        return f"the data breaks the schema: {found.message}" if found else None
    said = answer.get("text") or answer.get("results")
    return None if said else "the answer is empty"


def _panel(call: Demonstration, result: CallToolResult, problem: str | None) -> Panel:
    body = Text("\n".join(getattr(part, "text", "") for part in result.content).strip())
    meta = result.meta or {}
    receipt = next((value for key, value in meta.items() if key.endswith("/route")), None)
    if receipt:
        body.append(f"\n\n{_route(receipt)}", style="dim")
    if problem:
        body.append(f"\n{problem}", style="red")
    return Panel(body, title=call.tool, title_align="left", border_style="red" if problem else "green")


def _route(receipt: dict[str, Any]) -> str:
    tried = ", ".join(
        f"{attempt['model']} on {attempt['runtime']}: {attempt['outcome']} in {attempt['seconds']:.2f} s"
        for attempt in receipt.get("attempts", ())
    )
    return f"route: {tried} · deadline {receipt.get('deadline_s')} s · request {receipt.get('request_id')}"
