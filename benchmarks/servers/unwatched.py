"""The router with nothing that watches it: no metrics, no history, no log line, no spans. `unwatched.py POLICY`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import anyio

from router_mcp.config import load_config
from router_mcp.edge.app import Source
from router_mcp.edge.logs import configure_logging
from router_mcp.edge.run import serve_stdio
from router_mcp.edge.server import build_server
from router_mcp.telemetry.base import Listeners
from router_mcp.wiring import open_router


def main() -> None:
    """Serve on stdio."""
    configure_logging()
    policy = load_config(Path(sys.argv[1]), os.environ)
    anyio.run(serve_stdio, build_server(Source(open_router=partial(open_router, policy, Listeners())), policy))


if __name__ == "__main__":
    main()
