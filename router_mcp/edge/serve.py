"""`router-mcp serve`, put together: configuration, telemetry, the server, and a transport to run it on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
from opentelemetry import trace

from router_mcp import __version__, status
from router_mcp.config import default_path, load_config
from router_mcp.config.policy_file import PolicyFile
from router_mcp.edge.app import Source
from router_mcp.edge.bind import check_bind
from router_mcp.edge.http import HttpApp, Pages
from router_mcp.edge.logs import LogFormat, configure_logging
from router_mcp.edge.metrics import metrics_served
from router_mcp.edge.overview import overview
from router_mcp.edge.page import page_routes
from router_mcp.edge.run import serve_http, serve_stdio
from router_mcp.edge.server import build_server
from router_mcp.edge.subscriptions import ResourceChanges
from router_mcp.router import Router
from router_mcp.state.directory import fingerprint
from router_mcp.telemetry.base import Listeners, Telemetry
from router_mcp.telemetry.call_log import CallLog
from router_mcp.telemetry.deferred import Deferred
from router_mcp.telemetry.export import make_exports
from router_mcp.telemetry.history import History
from router_mcp.telemetry.prefix_log import prefix_log
from router_mcp.telemetry.prometheus import PrometheusMetrics
from router_mcp.wiring import Outside, open_router


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    environ: Mapping[str, str]
    transport: Literal["stdio", "http"] = "stdio"
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int | None = None
    log_format: LogFormat = "text"
    config: Path | None = None


async def serve_router(options: ServeOptions) -> None:
    """Serve until told to stop. Raises `ConfigError` before anything is served when something is wrong."""
    configure_logging(options.log_format)
    path = options.config or default_path(options.environ)
    seen = fingerprint(path)
    policy = load_config(path, options.environ)
    bind = check_bind(options.host, options.environ) if options.transport == "http" else None
    with _watched(options.environ) as served:
        source = Source(
            open_router=partial(_open, policy, options.environ, served),
            history=served.history,
            path=path,
            load=partial(load_config, environ=options.environ),
            seen=seen,
        )
        changes = ResourceChanges()
        server = build_server(source, policy, changes)
        async with metrics_served(served.exposition, options.metrics_port):
            if bind is None:
                await serve_stdio(server)
            else:
                await serve_http(HttpApp(server, bind, pages=_pages(served), changes=changes), port=options.port)


@dataclass(slots=True, kw_only=True)
class _Served:
    """What is known of the running server, for its pages."""

    metrics: PrometheusMetrics
    history: History
    spans: tuple[Telemetry, ...]
    deferred: Deferred
    started: float = field(default_factory=anyio.current_time)
    router: Router | None = None

    def not_ready(self) -> str | None:
        """Return why no task can be served, or `None`."""
        return "Starting." if self.router is None else status.not_ready(self.router, anyio.current_time())

    def exposition(self) -> tuple[bytes, str]:
        """Return what `/metrics` shows."""
        self.deferred.flush()
        return self.metrics.exposition()

    def overview(self) -> dict[str, Any]:
        """Return what the status page shows."""
        self.deferred.flush()
        assert self.router is not None, "requests are served only while the lifespan lasts"
        return overview(self.router, self.history, anyio.current_time(), self.started)


@contextmanager
def _watched(environ: Mapping[str, str]) -> Generator[_Served]:
    """Set up what the environment asks to watch the server with, and send the last spans at the end."""
    exports = make_exports(environ, service="router-mcp", version=__version__)
    metrics, history = PrometheusMetrics(__version__), History(anyio.current_time)
    later: tuple[Telemetry, ...] = (metrics, history, CallLog(), *prefix_log(environ))
    spans: tuple[Telemetry, ...] = ()
    if exports is not None:
        spans = (exports.traces(content=environ.get("LLM_TRACE_CONTENT") == "1"),)
        later += exports.measures()
        metrics.watch_drops(exports.drops)
        trace.set_tracer_provider(exports.tracers)
    deferred = Deferred(later)
    try:
        yield _Served(metrics=metrics, history=history, spans=spans, deferred=deferred)
    finally:
        deferred.flush()
        if exports is not None:
            exports.close()


def _pages(served: _Served) -> Pages:
    return Pages(ready=served.not_ready, metrics=served.exposition, extra=page_routes(served.overview))


@asynccontextmanager
async def _open(policy: PolicyFile, environ: Mapping[str, str], served: _Served) -> AsyncGenerator[Router]:
    telemetry = Listeners((*served.spans, served.deferred))
    async with open_router(policy, telemetry, Outside(environ=environ)) as router, anyio.create_task_group() as tasks:
        served.metrics.watch(router.board, router.book, lambda: router.fleet, anyio.current_time)
        served.router = router
        tasks.start_soon(served.deferred.run)
        yield router
        tasks.cancel_scope.cancel()
