"""The one place that reaches into the SDK's `MCPServer` for the low-level server that it wraps.

The SDK has no public accessor yet ("TODO: make public" in its source); its own test client does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.mcpserver import MCPServer


def lowlevel(server: MCPServer[Any]) -> Server[Any]:
    """Return the low-level server, which runs on streams and takes request handlers."""
    return server._lowlevel_server  # noqa: SLF001 - see above
