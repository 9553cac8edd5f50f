"""The HTTP face of a server: `/mcp`, `/healthz`, `/readyz`, `/metrics`, behind one door.

Responses stream and older clients have sessions, both as the SDK has it by default: with `json_response` or
`stateless_http` a client's leaving no longer cancels its call (mcp-sdk.md finding 6).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from router_mcp.edge.body import BodyLimit
from router_mcp.edge.guard import Guard
from router_mcp.edge.streams import StandingStreams
from router_mcp.edge.trace import Traced

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from router_mcp.edge.bind import Bind
    from router_mcp.edge.subscriptions import ResourceChanges

MIB = 1024 * 1024

Ready: TypeAlias = Callable[[], str | None]
"""Why no task can be served now; `None` when one can."""
Metrics: TypeAlias = Callable[[], tuple[bytes, str]]
"""What `/metrics` shows, and its content type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one client, or many, may take of the server."""

    body_bytes: int = 4 * MIB
    """The SDK's own default; the embeddings server needs more."""
    body_s: float = 30.0
    head_s: float = 10.0
    keep_alive_s: int = 75
    """Longer than the idle time of the usual load balancers (60 s), so that they close first."""
    connections: int = 4096
    sessions: int = 5000
    """Sessions of clients of 2025 and before; newer ones have none. About 40 KiB each."""
    session_idle_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What is served beside `/mcp`."""

    ready: Ready = lambda: None
    metrics: Metrics | None = None
    """Without it there is no `/metrics`."""
    extra: tuple[BaseRoute, ...] = ()
    """Behind the same door as everything."""


class HttpApp:
    """An ASGI app around an `MCPServer`. One per server, entered once with `running`."""

    def __init__(
        self,
        server: MCPServer[Any],
        bind: Bind,
        *,
        limits: HttpLimits | None = None,
        pages: Pages | None = None,
        changes: ResourceChanges | None = None,
    ) -> None:
        self.bind = bind
        self.limits = limits or HttpLimits()
        self.name = server.name
        self._server = server
        self._pages = pages or Pages()
        self._changes = changes
        self._stop = anyio.Event()
        self._app = self._stack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Enter the server's lifespan; requests may be served while it lasts, and are cancelled at its end."""
        async with self._server.session_manager.run():
            yield

    def stop(self) -> None:
        """Say on `/readyz` that the server is leaving, and end the streams that would keep it."""
        self._stop.set()
        if self._changes is not None:
            self._changes.close()

    def _stack(self) -> ASGIApp:
        app = self._server.streamable_http_app(
            max_request_body_size=self.limits.body_bytes,
            session_idle_timeout=self.limits.session_idle_s,
            max_sessions=self.limits.sessions,
            # The guard asks for Host and Origin, on every route.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        app.router.routes += [Route("/healthz", _healthz), Route("/readyz", self._readyz)]
        if self._pages.metrics is not None:
            app.router.routes.append(Route("/metrics", metrics_page(self._pages.metrics)))
        app.router.routes += self._pages.extra
        streams = StandingStreams(Traced(app), self._stop)
        return Guard(BodyLimit(streams, max_bytes=self.limits.body_bytes, max_s=self.limits.body_s), self.bind)

    async def _readyz(self, request: Request) -> Response:
        reason = "The server is shutting down." if self._stop.is_set() else self._pages.ready()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)


def metrics_page(read: Metrics) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of `/metrics`."""

    async def show(request: Request) -> Response:
        body, content_type = read()
        return Response(body, headers={"content-type": content_type})

    return show


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})
