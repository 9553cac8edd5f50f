"""The least that an MCP server costs: one tool that does nothing."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("empty", version="0", log_level="ERROR")


@server.tool()
async def generate(prompt: str) -> str:
    """Return a fixed text."""
    return "The capital of France is Paris. It lies on the Seine."


if __name__ == "__main__":
    server.run()
