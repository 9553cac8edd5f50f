"""`router-mcp serve`: the MCP server, over stdio or HTTP. The heavy imports are made here, not for every command."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from router_mcp.cli.imports import uncollected
from router_mcp.cli.session import ConfigOption

if TYPE_CHECKING:
    pass


class Transport(StrEnum):
    """How clients reach the server."""

    stdio = "stdio"
    http = "http"


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


def serve(
    transport: Annotated[Transport, typer.Option(help="stdio for one client, http for many.")] = Transport.stdio,
    host: Annotated[str, typer.Option(help="Address for http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for http; 0 takes a free one.")] = 8080,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Prometheus metrics on loopback.")] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Log lines on stderr.")] = LogFormat.text,
    config: ConfigOption = None,
) -> None:
    """Serve the router's tools to MCP clients until stdin ends or a signal comes."""
    with uncollected():
        from router_mcp.edge.serve import ServeOptions, serve_router  # noqa: PLC0415 - mcp takes a second to import

    options = ServeOptions(
        transport=transport.value,
        host=host,
        port=port,
        metrics_port=metrics_port,
        log_format=log_format.value,
        config=config,
        environ=os.environ,
    )
    anyio.run(serve_router, options)
