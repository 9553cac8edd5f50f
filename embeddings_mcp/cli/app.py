"""The `embeddings-mcp` command: its groups put together, and its errors turned into exit codes."""

from __future__ import annotations

import sys

import typer

from embeddings_mcp.cli import config, demo, embed, rank, serve, status
from router_mcp.cli.terminal import complain
from router_mcp.errors import ConfigError, InvalidArgumentsError, RouterError

app = typer.Typer(
    name="embeddings-mcp",
    help="An MCP server for vectors and rankings from your own embedding models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("embed")(embed.embed)
app.command("rank")(rank.rank)
app.command("status")(status.status)
app.command("demo")(demo.demo)
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command line; an anticipated failure is a sentence on stderr, never a traceback."""
    try:
        app()
    except RouterError as error:
        complain(str(error))
        sys.exit(2 if isinstance(error, ConfigError | InvalidArgumentsError) else 1)
    except BrokenPipeError:  # `embeddings-mcp … | head`
        sys.exit(1)
