"""The `embeddings-mcp` command: its groups put together, and its errors turned into exit codes."""

from __future__ import annotations

import sys

from router_mcp.cli.commands import command_line
from router_mcp.errors import ConfigError, InvalidArgumentsError, RouterError

ABOUT = "An MCP server for vectors and rankings from your own embedding models."
COMMANDS = {
    "serve": "embeddings_mcp.cli.serve:serve",
    "embed": "embeddings_mcp.cli.embed:embed",
    "rank": "embeddings_mcp.cli.rank:rank",
    "status": "embeddings_mcp.cli.status:status",
    "config": "embeddings_mcp.cli.config:app",
    "demo": "embeddings_mcp.cli.demo:demo",
}


def main() -> None:
    """Run the command line; an anticipated failure is a sentence on stderr, never a traceback."""
    try:
        command_line("embeddings-mcp", ABOUT, COMMANDS, asked=sys.argv[1] if sys.argv[1:] else None)()
    except RouterError as error:
        from router_mcp.cli.terminal import report_failure  # noqa: PLC0415 - rich, which no server needs

        report_failure(error)
        sys.exit(2 if isinstance(error, ConfigError | InvalidArgumentsError) else 1)
    except BrokenPipeError:  # `embeddings-mcp … | head`
        sys.exit(1)
