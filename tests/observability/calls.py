"""Calls as a client of 2026-07-28 makes them, in a trace of its own."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
APPS = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}


def new_trace() -> tuple[str, str, str]:
    """Return a trace id, a span id, and the `traceparent` of both."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-01"


def request_of(tool: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
    """Return the keywords of a POST that calls a tool."""
    params = {"name": tool, "arguments": arguments, "_meta": {**META, **meta}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return {"content": json.dumps(message).encode(), "headers": headers}


async def call(
    client: httpx.AsyncClient, url: str, tool: str, arguments: dict[str, Any], **meta: Any
) -> dict[str, Any]:
    """Call a tool and return its result."""
    response = await client.post(f"{url}/mcp", **request_of(tool, arguments, **meta))
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
        message = next(found for event in events if "result" in (found := json.loads(event)))
    else:
        message = response.json()
    result: dict[str, Any] = message["result"]
    return result
