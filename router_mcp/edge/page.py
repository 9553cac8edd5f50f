"""The status page: one HTML file without build step and foreign assets, and the JSON that it shows.

The same file is the MCP App `ui://router/status`: inside a frame it talks to its host instead of to us.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

STATUS_URI = "ui://router/status"
STATUS_KEY = "router-mcp/status"
"""Where `list_models` puts what the page shows, in the `_meta` of its result, for hosts that render MCP Apps."""
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def status_html() -> str:
    """Return the page."""
    return files("router_mcp.edge").joinpath("status.html").read_text(encoding="utf-8")


def page_routes(read: Callable[[], dict[str, Any]]) -> tuple[Route, ...]:
    """Return `/`, the page, and `/status.json`, what it shows now."""
    html = status_html()
    headers = _HEADERS | {"content-security-policy": _policy(html)}

    async def page(request: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    async def data(request: Request) -> Response:
        return JSONResponse(read(), headers=_HEADERS)

    return (Route("/", page), Route("/status.json", data))


def _policy(html: str) -> str:
    """Return a Content-Security-Policy that runs the page's own script and style, and nothing else."""
    hashes = {
        tag: " ".join(f"'sha256-{_digest(text)}'" for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
        for tag in ("script", "style")
    }
    own = f"script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; img-src data:"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
