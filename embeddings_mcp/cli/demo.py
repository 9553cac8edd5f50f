"""`embeddings-mcp demo`: the server as a client sees it, on the embedded model: no other server, no network."""

from __future__ import annotations

import json
import sys

import anyio
import typer
from rich.console import Console
from rich.text import Text

from embeddings_mcp.cli.session import ConfigOption
from embeddings_mcp.config import embedded_path
from router_mcp.cli.terminal import complain

QUERY = "How do I keep bread from going stale?"
TEXTS = [
    "A TCP connection starts with a three-way handshake.",
    "Wrap the loaf in cloth and keep it in a bread box; a fridge dries it out.",
    "Sourdough rises slowly because wild yeast is weak.",
    "The river floods its banks every spring.",
]


def demo(config: ConfigOption = None) -> None:
    """Start the server over stdio, list its tools and rank four texts; exit 0 only if a model answered."""
    anyio.run(_demo, str(config or embedded_path()))


async def _demo(config: str) -> None:
    from mcp import Client, StdioServerParameters  # noqa: PLC0415 - takes a second to import

    from embeddings_mcp.edge.results import ROUTE_KEY  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    server = StdioServerParameters(command=sys.executable, args=["-m", "embeddings_mcp", "serve", "--config", config])
    async with Client(server) as client:
        tools = await client.list_tools()
        console.print(f"tools: {', '.join(tool.name for tool in tools.tools)}")
        console.print(Text(f'rank_texts "{QUERY}"', style="bold"))
        result = await client.call_tool("rank_texts", {"query": QUERY, "texts": TEXTS})
    said = " ".join(block.text for block in result.content if block.type == "text")
    if result.is_error or not result.structured_content:
        complain(said)
        raise typer.Exit(1)
    for each in result.structured_content["results"]:
        console.print(f"  {each['score']:.3f}  {TEXTS[each['index']]}", soft_wrap=True)
    console.print(Text(f"route: {json.dumps((result.meta or {}).get(ROUTE_KEY))}", style="dim"), soft_wrap=True)
