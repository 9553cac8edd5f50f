"""The one place that reaches into the SDK, for what it has no public accessor of yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.mcpserver import Context, MCPServer


def lowlevel(server: MCPServer[Any]) -> Server[Any]:
    """Return the low-level server, which runs on streams and takes request handlers."""
    return server._lowlevel_server  # noqa: SLF001 - "TODO: make public" in its source; its own test client does this


def may_hear_progress(ctx: Context[Any, Any]) -> bool:
    """Tell whether a caller may have asked for progress: one on a wire does so by a token.

    One in this process cannot be seen to, so it may have.
    """
    channel = getattr(ctx.request_context.session, "_request_outbound", None)
    inner = getattr(channel, "_inner", channel)
    tokens = (getattr(inner, name, True) for name in ("_progress_token", "progress_token"))  # of stdio and of HTTP
    return all(token is not None for token in tokens)
