"""The command line: one file a command group. Exit codes: 0 done, 1 the work failed, 2 wrong usage or config."""

from __future__ import annotations

import sys

import typer

from router_mcp.cli import config, demo, generate, route, serve, status
from router_mcp.cli.terminal import complain
from router_mcp.errors import ConfigError, InvalidArgumentsError, RouterError, SchemaInvalidError, UnknownTaskError

app = typer.Typer(
    name="router-mcp",
    help="One MCP server in front of your own models: tasks are routed to vLLM and Ollama by policy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("generate")(generate.generate)
app.command("structured")(generate.structured)
app.command("route")(route.route)
app.command("status")(status.status)
app.command("demo")(demo.demo)
app.add_typer(config.app, name="config")

WRONG_USE = (ConfigError, InvalidArgumentsError, SchemaInvalidError, UnknownTaskError)


def main() -> None:
    """Run the command line; an anticipated failure is a sentence on stderr, never a traceback."""
    try:
        app()
    except RouterError as error:
        complain(str(error))
        sys.exit(2 if isinstance(error, WRONG_USE) else 1)
    except BrokenPipeError:  # `router-mcp … | head`
        sys.exit(1)
