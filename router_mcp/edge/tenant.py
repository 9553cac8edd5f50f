"""Whose call it is. Over HTTP the bearer token says so, and the argument alone never does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router_mcp.edge.bind import OPERATOR
from router_mcp.edge.guard import principal_of
from router_mcp.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context


def tenant_of(ctx: Context[Any, Any], asked: str | None) -> str | None:
    """Return the tenant of a call; raise `InvalidArgumentsError` when it asks for one that it may not be.

    On stdio the caller is whoever started the server, and names the tenant itself.
    """
    if ctx.request_context.request is None:
        return asked
    principal = principal_of(ctx)
    if principal is not None and principal != OPERATOR:
        if asked in {None, principal}:
            return principal
        raise InvalidArgumentsError("This token is another tenant's. Leave out `tenant`: the token says who calls.")
    if asked is None:
        return None
    raise InvalidArgumentsError(
        "Over HTTP a tenant is known by a token of its own, and this call came without one. Leave out `tenant`, or "
        "call with the tenant's token (operators name the file of them in ROUTER_MCP_TOKENS_FILE)."
    )
