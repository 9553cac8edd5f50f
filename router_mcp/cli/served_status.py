"""What a running server says of itself at `/status.json`."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from anyio import to_thread

from router_mcp.errors import InvalidArgumentsError, NoRuntimeError

TIMEOUT_S = 5.0


async def read_status(url: str) -> dict[str, Any]:
    """Return a server's status; raises a `RouterError` that says why it cannot be had."""
    base = url.removesuffix("/").removesuffix("/mcp")
    if urlsplit(base).scheme not in {"http", "https"}:
        raise InvalidArgumentsError(f"{url!r} is no address of a server. Give one like http://127.0.0.1:8080.")
    token = os.environ.get("ROUTER_MCP_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    body = await to_thread.run_sync(partial(_fetch, base, headers), abandon_on_cancel=True)
    try:
        seen: dict[str, Any] = json.loads(body)
        return {**seen, "server": seen["server"]}
    except (ValueError, TypeError, KeyError):
        raise NoRuntimeError(f"{base} is not a router: its /status.json is something else. Correct --url.") from None


def _fetch(base: str, headers: dict[str, str]) -> bytes:
    request = Request(f"{base}/status.json", headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
            body: bytes = response.read()
            return body
    except HTTPError as refused:
        remedy = "Set ROUTER_MCP_TOKEN to its token." if refused.code == 401 else "Correct --url."
        raise NoRuntimeError(f"{base} answered {refused.code}. {remedy}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NoRuntimeError(f"{base} cannot be asked ({reason}). Start the server, or correct --url.") from None
