"""How an error of ours looks on the wire: fact and remedy for the model, a stable code for the machine.

There is no `structuredContent`: the TypeScript SDK, the base of many clients, refuses a result whose
structured content breaks the tool's output schema, even on an error (mcp-sdk.md finding 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.types import CallToolResult, TextContent

from router_mcp.edge.receipt import route_meta, unrouted
from router_mcp.edge.unicode import well_formed

if TYPE_CHECKING:
    from router_mcp.errors import RouterError

ERROR_KEY = "router-mcp/error"
"""Where the router's own results carry it; the embeddings server has `embeddings-mcp/error`."""


def to_error_result(error: RouterError, *, error_key: str = ERROR_KEY) -> CallToolResult:
    """Return the error result of a tool call, with the receipt beside it when the call got far enough to have one."""
    about: dict[str, Any] = {"code": error.code, "retryable": error.retryable}
    if error.retry_after_s is not None:
        about["retry_after_s"] = round(error.retry_after_s, 3)
    meta: dict[str, Any] = {error_key: about}
    if error.receipt is not None:
        meta[route_key(error_key)] = route_meta(error.receipt)
    return CallToolResult(content=[TextContent(text=well_formed(str(error)))], is_error=True, _meta=meta)


def with_receipt(result: CallToolResult, error_key: str) -> CallToolResult:
    """Return the result with an empty receipt if it has none."""
    key, meta = route_key(error_key), result.meta or {}
    return result if key in meta else result.model_copy(update={"meta": {**meta, key: route_meta(unrouted())}})


def route_key(error_key: str) -> str:
    """Return the `_meta` key of the receipt that belongs to an error key: `router-mcp/route`."""
    return f"{error_key.removesuffix('/error')}/route"
