"""The least that an MCP server costs: one tool that does nothing. `empty.py [PORT]`: stdio, or HTTP on a port."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("empty", version="0", log_level="ERROR")


@server.tool()
async def generate(prompt: str) -> str:
    """Return a fixed text."""
    return "The capital of France is Paris. It lies on the Seine."


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
