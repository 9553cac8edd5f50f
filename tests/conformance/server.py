"""Our own servers with the conformance suite's fixtures added: same factory, runner, limits and guard.

`python -m tests.conformance.server router|embeddings` answers over HTTP on a free port, and says where.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer

from embeddings_mcp.config import load_config as load_embeddings
from embeddings_mcp.edge import server as embeddings_edge
from embeddings_mcp.edge.serve import watched
from embeddings_mcp.telemetry.base import Listeners
from router_mcp.config import load_config, profile_path, shipped
from router_mcp.edge import server as router_edge
from router_mcp.edge.app import Source
from router_mcp.edge.bind import check_bind
from router_mcp.edge.http import HttpApp
from router_mcp.edge.logs import configure_logging
from router_mcp.edge.run import serve_http
from router_mcp.edge.subscriptions import ResourceChanges
from router_mcp.edge.tasks import Tasks
from router_mcp.wiring import open_router
from tests.conformance.fixtures.behaviour import LONG, REQUIRED, add_behaviour
from tests.conformance.fixtures.content import add_content
from tests.conformance.fixtures.inputs import add_inputs

PATIENCE_S = 0.2
"""The suite's jobs take a second and must be given handles."""


def with_fixtures(server: MCPServer[Any]) -> MCPServer[Any]:
    add_content(server)
    add_inputs(server)
    add_behaviour(server)
    fixtures: list[Any] = [*server._tool_manager.list_tools(), *server._prompt_manager.list_prompts()]
    for fixture in fixtures:
        fixture.description = fixture.description or f"Fixture of the conformance suite: {fixture.name}."
    return server


def tasks_for(own: tuple[str, ...]) -> Tasks:
    return Tasks((*own, *LONG), required=REQUIRED, patience_s=PATIENCE_S)


@asynccontextmanager
async def router(changes: ResourceChanges) -> AsyncGenerator[MCPServer[Any]]:
    policy = load_config(profile_path("embedded"))
    source = Source(open_router=partial(open_router, policy))
    yield router_edge.build_server(source, policy, changes, tasks_for(router_edge.LONG_TOOLS))


@asynccontextmanager
async def embeddings(changes: ResourceChanges) -> AsyncGenerator[MCPServer[Any]]:
    file = load_embeddings(shipped("embeddings/embedded.yaml"))
    async with watched(file, Listeners(()), os.environ) as embedder:
        server = embeddings_edge.build_server(embedder, tasks_for(embeddings_edge.LONG_TOOLS))
        changes.attach(server)  # this server has no resources of its own that change
        yield server


async def serve(make: Any) -> None:
    changes = ResourceChanges()
    async with make(changes) as server:
        app = HttpApp(with_fixtures(server), check_bind("127.0.0.1", {}), changes=changes)
        await serve_http(app, port=0)


if __name__ == "__main__":
    configure_logging()
    warnings.simplefilter("ignore", DeprecationWarning)  # MCP logging and sampling, which the suite asks for
    anyio.run(serve, {"router": router, "embeddings": embeddings}[sys.argv[1]])
