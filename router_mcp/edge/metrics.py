"""`--metrics-port`: the metrics of a server on stdio, which has no HTTP of its own.

It is served on loopback and in the server's own event loop. `prometheus_client.start_http_server` has a thread,
which would read the health board while the loop changes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from router_mcp.edge.bind import check_bind
from router_mcp.edge.connection import bounded_protocol
from router_mcp.edge.groups import sole_error
from router_mcp.edge.guard import Guard
from router_mcp.edge.http import Metrics, metrics_page
from router_mcp.edge.run import QuietServer, listen

HOST = "127.0.0.1"
_CONNECTIONS = 16
_HEAD_S = 5.0


@asynccontextmanager
async def metrics_served(read: Metrics, port: int | None) -> AsyncGenerator[None]:
    """Serve `/metrics` while the block lasts; with no port, nothing. Raises `ConfigError` when it is taken."""
    if port is None:
        yield
        return
    app = Guard(Starlette(routes=[Route("/metrics", metrics_page(read))]), check_bind(HOST, {}))
    config = uvicorn.Config(
        app,
        http=bounded_protocol(head_s=_HEAD_S, max_connections=_CONNECTIONS),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config, "metrics", "/metrics")
    with listen(HOST, port) as listener, sole_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield
            finally:
                server.should_exit = True
