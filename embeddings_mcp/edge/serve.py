"""`embeddings-mcp serve`, put together: configuration, telemetry, the server, and a transport to run it on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
from opentelemetry import trace

from embeddings_mcp.catalog import not_ready
from embeddings_mcp.config import EmbeddingsFile, default_path, load_config
from embeddings_mcp.edge.server import build_server
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.prober import Prober
from embeddings_mcp.telemetry.base import Listeners, Telemetry
from embeddings_mcp.telemetry.call_log import CallLog
from embeddings_mcp.telemetry.metrics import Metrics
from embeddings_mcp.telemetry.spans import Spans
from embeddings_mcp.wiring import Outside, open_embedder
from router_mcp.edge.bind import Bind, check_bind
from router_mcp.edge.groups import sole_error
from router_mcp.edge.http import MIB, HttpApp, HttpLimits, Pages
from router_mcp.edge.logs import LogFormat, configure_logging
from router_mcp.edge.metrics import metrics_served
from router_mcp.edge.run import serve_http, serve_stdio
from router_mcp.telemetry.export import make_exports

NAME = "embeddings-mcp"
WATCH_AFTER_S = 0.25
"""The first answer comes before the first probe, whose packages take as long to import as that answer takes."""
LIMITS = HttpLimits(body_bytes=64 * MIB, body_s=120.0)
"""2,048 texts of 30 kB fit. The SDK's 4 MiB would refuse ordinary calls (issue 5)."""


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


async def serve_embeddings(options: ServeOptions) -> None:
    """Serve until told to stop. Raises `ConfigError` before anything is served when something is wrong."""
    configure_logging(options.log_format)
    file = load_config(options.config or default_path(options.environ), options.environ)
    bind = _bind(options) if options.transport == "http" else None
    metrics = Metrics()
    with _telemetry(metrics, options.environ) as telemetry, sole_error():
        async with (
            watched(file, telemetry, options.environ) as embedder,
            metrics_served(metrics.exposition, options.metrics_port),
        ):
            metrics.watch(embedder.dispatch)
            server = build_server(embedder)
            if bind is None:
                await serve_stdio(server)
                return
            pages = Pages(ready=lambda: not_ready(embedder.cards()), metrics=metrics.exposition)
            await serve_http(HttpApp(server, bind, limits=LIMITS, pages=pages), port=options.port)


@asynccontextmanager
async def watched(file: EmbeddingsFile, telemetry: Telemetry, environ: Mapping[str, str]) -> AsyncGenerator[Embedder]:
    """Yield an embedder, and watch its endpoints while the block lasts."""
    outside = Outside(environ=environ)
    async with open_embedder(file, telemetry, outside) as embedder, anyio.create_task_group() as watching:
        watching.start_soon(_watch, Prober(embedder))
        yield embedder
        watching.cancel_scope.cancel()


async def _watch(prober: Prober) -> None:
    await anyio.sleep(WATCH_AFTER_S)
    await prober.run()


def _bind(options: ServeOptions) -> Bind:
    """Check the address; what is not set for this server is taken from the router's variables (CONTRACT §6)."""
    environ = {
        f"EMBEDDINGS_MCP_{name}": options.environ.get(f"EMBEDDINGS_MCP_{name}")
        or options.environ.get(f"ROUTER_MCP_{name}", "")
        for name in ("TOKEN", "ALLOWED_HOSTS")
    }
    return check_bind(options.host, environ, prefix="EMBEDDINGS_MCP")


@contextmanager
def _telemetry(metrics: Metrics, environ: Mapping[str, str]) -> Generator[Telemetry]:
    """Set up what the environment asks to watch the server with, and send the last spans at the end."""
    version = importlib.metadata.version("router-mcp")
    exports = make_exports(environ, service=NAME, version=version)
    if exports is None:
        yield Listeners((metrics, CallLog()))
        return
    trace.set_tracer_provider(exports.tracers)
    try:
        yield Listeners((Spans(exports.tracers.get_tracer(NAME, version)), metrics, CallLog()))
    finally:
        exports.close()
