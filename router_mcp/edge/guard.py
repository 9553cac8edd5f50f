"""Who may call at all: `Host`, `Origin` and bearer token, checked for every route before anything is read.

The SDK checks `Host` and `Origin` on `/mcp` only, and not at all once it is told another host than loopback;
its custom routes are never authenticated (mcp-sdk.md 1.12). Here there is one door.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers

from router_mcp.edge.bind import OPERATOR
from router_mcp.edge.refusal import Refusal, refuse

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.mcpserver import Context
    from starlette.types import ASGIApp, Receive, Scope, Send

    from router_mcp.edge.bind import Bind

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered without a token: probes have none, and learn nothing there."""

PAGE_PATHS = frozenset({"/", "/status.json"})
"""Pages for people: a browser cannot send a bearer token of itself, so it may send it as the password of HTTP Basic."""


TENANTS_PATH = "/mcp"
"""A tenant's token opens the tools; pages and metrics are the operator's."""


class Guard:
    """An ASGI app that answers for another one when the caller may not enter."""

    def __init__(self, app: ASGIApp, bind: Bind) -> None:
        self._app = app
        self._bind = bind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 421, 403 or 401."""
        headers = Headers(scope=scope)
        refusal = self._by_name(headers) or self._by_token(headers, scope)
        if refusal is not None:
            await refuse(refusal, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _by_name(self, headers: Headers) -> Refusal | None:
        if not self._bind.names.host_allowed(headers.get("host", "")):
            return _WRONG_HOST
        origin = headers.get("origin")
        return None if origin is None or self._bind.names.origin_allowed(origin) else _WRONG_ORIGIN

    def _by_token(self, headers: Headers, scope: Scope) -> Refusal | None:
        if not self._bind.tokens or scope["path"] in OPEN_PATHS:
            return None
        for_people = scope["path"] in PAGE_PATHS
        token = (_basic(headers) if for_people else b"") or _bearer(headers)
        principal = self._bind.tokens.principal(token)
        if principal is None or (principal != OPERATOR and not scope["path"].startswith(TENANTS_PATH)):
            return _LOG_IN if for_people else _UNAUTHORIZED
        # The SDK binds a session to the user that opened it, so no other principal can speak in it.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))
        return None


def principal_of(ctx: Context[Any, Any]) -> str | None:
    """Return whom the caller's bearer token stands for; `None` on stdio and where no token is asked for."""
    return caller_of(ctx.request_context)


def caller_of(ctx: ServerRequestContext[Any, Any]) -> str | None:
    """Return the same, for those who handle requests below the tools."""
    user = None if ctx.request is None else ctx.request.scope.get("user")
    return user.access_token.client_id if isinstance(user, AuthenticatedUser) else None


def _bearer(headers: Headers) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def _basic(headers: Headers) -> bytes:
    """Return the password that came with HTTP Basic; whatever the user's name is."""
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(sent.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


_WRONG_HOST = Refusal(
    421,
    "host_not_allowed",
    "This server does not answer to that Host. Call it by a name in its list of allowed hosts, or add the name there.",
)
_WRONG_ORIGIN = Refusal(
    403,
    "origin_not_allowed",
    "Web pages of that Origin may not call this server. Add its host to the list of allowed hosts if they should.",
)
_UNAUTHORIZED = Refusal(
    401,
    "unauthorized",
    "A valid bearer token is needed. Send the header `Authorization: Bearer` with the token of this server.",
    (("www-authenticate", 'Bearer realm="mcp", error="invalid_token"'),),
)
_LOG_IN = Refusal(
    401,
    "unauthorized",
    "A valid token is needed. Give the token of this server as the password, with any user name.",
    (("www-authenticate", 'Basic realm="router-mcp", charset="UTF-8"'),),
)
