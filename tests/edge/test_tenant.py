"""Whose call it is, over HTTP: the token says so, and an argument alone never does."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from router_mcp.edge.app import Source
from router_mcp.edge.bind import check_bind
from router_mcp.edge.http import HttpApp, Pages
from router_mcp.edge.server import build_server
from router_mcp.errors import ConfigError
from router_mcp.router import Router
from tests.edge.asgi import ask
from tests.edge_process.process import MODERN
from tests.houses import House, make_policy, open_house

pytestmark = pytest.mark.anyio

OPERATOR = "operator-token-of-32-characters!"
ACME, GLOBEX = "acme-token-with-enough-letters", "globex-token-with-enough-letters"
FILE = f"version: 1\ntenants:\n  acme: {ACME}\n  globex: ${{GLOBEX_TOKEN}}\n"
CALL = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "generate",
}


def environment(folder: Path, *, file: str = FILE) -> dict[str, str]:
    path = folder / "tokens.yaml"
    path.write_text(file)
    return {"ROUTER_MCP_TOKEN": OPERATOR, "ROUTER_MCP_TOKENS_FILE": str(path), "GLOBEX_TOKEN": GLOBEX}


@asynccontextmanager
async def served(environ: dict[str, str]) -> AsyncGenerator[tuple[HttpApp, House]]:
    houses: list[House] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Router]:
        async with open_house() as house:
            houses.append(house)
            yield house.router

    pages = Pages(metrics=lambda: (b"up 1\n", "text/plain"))
    app = HttpApp(
        build_server(Source(open_router=opened), make_policy()), check_bind("127.0.0.1", environ), pages=pages
    )
    async with app.running():
        yield app, houses[0]


async def generate(app: HttpApp, token: str | None, tenant: str | None) -> dict[str, Any]:
    """Call the tool as a client does, and return its result."""
    arguments = {"prompt": "hi"} | ({} if tenant is None else {"tenant": tenant})
    params = {"name": "generate", "arguments": arguments, "_meta": MODERN}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = CALL | ({} if token is None else {"authorization": f"Bearer {token}"})
    answer = await ask(app, headers=headers, body=body)
    assert answer.status == 200, answer.body
    text = answer.body.decode()
    data = text.partition("data: ")[2] if "data: " in text else text
    result: dict[str, Any] = json.loads(data)["result"]
    return result


@pytest.mark.parametrize(("token", "tenant"), [(ACME, None), (ACME, "acme"), (GLOBEX, None)])
async def test_a_tenants_token_makes_its_calls_the_tenants(tmp_path: Path, token: str, tenant: str | None) -> None:
    async with served(environment(tmp_path)) as (app, house):
        assert not (await generate(app, token, tenant)).get("isError")
        whose = "acme" if token == ACME else "globex"
        assert house.gpu.calls[0].cache_salt == house.router.orders.salt(whose)


@pytest.mark.parametrize(("token", "tenant"), [(ACME, "globex"), (OPERATOR, "acme"), (OPERATOR, "default")])
async def test_an_argument_that_the_token_does_not_bear_out_is_refused(tmp_path: Path, token: str, tenant: str) -> None:
    async with served(environment(tmp_path)) as (app, house):
        result = await generate(app, token, tenant)
        assert result["isError"]
        assert result["_meta"]["router-mcp/error"]["code"] == "invalid_arguments"
        assert "Leave out `tenant`" in result["content"][0]["text"]
        assert house.gpu.calls == []


async def test_without_tokens_nobody_is_anybodys_tenant_over_http() -> None:
    async with served({}) as (app, house):
        assert (await generate(app, None, "acme"))["isError"]
        assert not (await generate(app, None, None)).get("isError")
        assert house.gpu.calls[0].cache_salt is None


async def test_on_stdio_and_in_memory_the_caller_names_its_tenant() -> None:
    houses: list[House] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Router]:
        async with open_house() as house:
            houses.append(house)
            yield house.router

    async with Client(build_server(Source(open_router=opened), make_policy())) as client:
        await client.call_tool("generate", {"prompt": "hi", "tenant": "acme"})
        assert houses[0].gpu.calls[0].cache_salt == houses[0].router.orders.salt("acme")


@pytest.mark.parametrize(("token", "status"), [(OPERATOR, 200), (ACME, 401)])
async def test_metrics_are_the_operators(tmp_path: Path, token: str, status: int) -> None:
    async with served(environment(tmp_path)) as (app, _):
        headers = {"authorization": f"Bearer {token}"}
        assert (await ask(app, "/metrics", method="GET", headers=headers)).status == status


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (f"version: 1\ntenants: {{acme: {ACME}, globex: {ACME}}}", "this is the token of 'acme' too"),
        (f"version: 1\ntenants: {{acme: {OPERATOR}}}", "is also the server's own"),
        (f"version: 1\ntenants: {{default: {ACME}}}", "this name is the operator's own"),
        ("version: 1\ntenants: {acme: short}", "at least 16 ASCII characters"),
        ("version: 1\ntenants: {acme: 1234567890123456789}", "a token is text"),
        ("version: 1\ntenants: {acme: [x]}", "a token is text"),
        ("version: 1\ntenants: {}", "must not be empty"),
        ("version: 1\ntoken: {}", "Did you mean 'tenants'?"),
    ],
)
def test_a_bad_file_of_tokens_stops_the_start_and_shows_none(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_bind("127.0.0.1", environment(tmp_path, file=file))
    assert said in str(refused.value)
    for secret in (ACME, OPERATOR, "short.", "1234567890123456789"):
        assert secret not in str(refused.value)


def test_each_server_has_a_file_of_its_own(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    assert check_bind("127.0.0.1", environ).tokens.principal(ACME.encode()) == "acme"
    assert check_bind("127.0.0.1", environ, prefix="EMBEDDINGS_MCP").tokens.principal(ACME.encode()) is None
