"""The command line: one file a command group. Exit codes: 0 done, 1 the work failed, 2 wrong usage or config."""

from __future__ import annotations

import signal
import sys

from router_mcp.cli.commands import command_line
from router_mcp.errors import ConfigError, InvalidArgumentsError, RouterError, SchemaInvalidError, UnknownTaskError

ABOUT = "One MCP server in front of your own models: tasks are routed to vLLM and Ollama by policy."
COMMANDS = {
    "serve": "router_mcp.cli.serve:serve",
    "generate": "router_mcp.cli.generate:generate",
    "structured": "router_mcp.cli.generate:structured",
    "route": "router_mcp.cli.route:route",
    "status": "router_mcp.cli.status:status",
    "drill": "router_mcp.cli.drill:drill",
    "warm": "router_mcp.cli.warm:warm",
    "canary": "router_mcp.cli.canary:app",
    "tenant": "router_mcp.cli.tenant:app",
    "config": "router_mcp.cli.config:app",
    "demo": "router_mcp.cli.demo:demo",
    "install": "router_mcp.cli.install:install",
}
WRONG_USE = (ConfigError, InvalidArgumentsError, SchemaInvalidError, UnknownTaskError)


def main() -> None:
    """Run the command line; an anticipated failure is a sentence on stderr, never a traceback."""
    asked = sys.argv[1] if sys.argv[1:] else None
    if asked == "serve":  # which obeys it as soon as it has something to reload; until then it would end the process
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command_line("router-mcp", ABOUT, COMMANDS, asked=asked)()
    except RouterError as error:
        from router_mcp.cli.terminal import report_failure  # noqa: PLC0415 - rich, which no server needs

        report_failure(error)
        sys.exit(2 if isinstance(error, WRONG_USE) else 1)
    except BrokenPipeError:  # `router-mcp … | head`
        sys.exit(1)
