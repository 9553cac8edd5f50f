"""`python -m router_mcp` and the `router-mcp` command."""

from __future__ import annotations

from router_mcp.cli.app import main

if __name__ == "__main__":
    main()
