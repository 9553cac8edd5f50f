"""The router with nothing that watches it: no metrics, no history, no log line, no spans. `unwatched.py POLICY`.

All else is as `router-mcp serve` has it, so that listeners are the only difference.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import anyio

from router_mcp.cli.imports import uncollected

with uncollected():
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
    path = Path(sys.argv[1])
    policy = load_config(path, os.environ)
    source = Source(
        open_router=partial(open_router, policy, Listeners()),
        path=path,
        load=partial(load_config, environ=os.environ),
    )
    anyio.run(serve_stdio, build_server(source, policy))


if __name__ == "__main__":
    main()
