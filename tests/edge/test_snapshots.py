"""Every tool as clients see it, kept in `snapshots/`, so that a change of a name, a schema or a description is meant.

To accept a change: `UPDATE_SNAPSHOTS=1 python -m pytest tests/edge/test_snapshots.py`, and read the diff.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer

from embeddings_mcp.edge.server import build_server as build_embeddings
from router_mcp.edge.app import Source
from router_mcp.edge.schemas import flaws, places
from router_mcp.edge.server import build_server
from router_mcp.router import Router
from tests.houses import make_policy, open_house
from tests.unit.embeddings.fakes import world

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).with_name("snapshots")
OPEN_API = {"type", "enum", "items", "properties", "required", "description", "default", "additionalProperties"}
OPEN_API |= {"minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "format"}
"""Keywords of arguments that the function calling of Gemini and Vertex knows, all of them harmless to others."""


@asynccontextmanager
async def opened() -> AsyncGenerator[Router]:
    async with open_house() as house:
        yield house.router


def servers() -> dict[str, MCPServer[Any]]:
    return {
        "router": build_server(Source(open_router=opened), make_policy()),
        "embeddings": build_embeddings(world().embedder),
    }


async def tools_of(server: str) -> dict[str, dict[str, Any]]:
    async with Client(servers()[server]) as client:
        tools = (await client.list_tools()).tools
    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools}


@pytest.mark.parametrize("server", ["router", "embeddings"])
async def test_tools_are_as_they_were_when_somebody_last_looked(server: str) -> None:
    found = {f"{server}.{name}.json": _text(tool) for name, tool in (await tools_of(server)).items()}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        for path in FOLDER.glob(f"{server}.*.json"):
            path.unlink()
        for name, text in found.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob(f"{server}.*.json")}
    assert found == kept


@pytest.mark.parametrize("server", ["router", "embeddings"])
async def test_arguments_use_no_word_that_a_client_may_refuse(server: str) -> None:
    for name, tool in (await tools_of(server)).items():
        assert flaws(tool["inputSchema"], unions=False) == []
        assert flaws(tool["outputSchema"], unions=True) == []
        for path, schema in places(tool["inputSchema"]):
            if path == "(root)" or not path.endswith("properties"):
                assert schema.keys() <= OPEN_API, f"{name}, {path}"


async def test_no_client_needs_prefixes_to_tell_the_servers_tools_apart() -> None:
    router, embeddings = await tools_of("router"), await tools_of("embeddings")
    assert not router.keys() & embeddings.keys()
    for name in (*router, *embeddings):
        assert len(f"mcp__embeddings__{name}") <= 64


def _text(tool: dict[str, Any]) -> str:
    return json.dumps(tool, indent=2, ensure_ascii=False) + "\n"
