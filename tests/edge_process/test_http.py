"""A real HTTP process: clients of both eras, callers that behave badly, and leaving cleanly."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from anyio.abc import SocketStream
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer

from router_mcp.edge.bind import check_bind
from router_mcp.edge.http import HttpApp
from router_mcp.edge.run import serve_http
from router_mcp.errors import ConfigError
from tests.edge.demo import make_server
from tests.edge_process.process import MODERN, ROOT, running_http

pytestmark = pytest.mark.anyio

TOKEN = {"DEMO_TOKEN": "s3cret"}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
OLDER = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def modern(tool: str, arguments: Any) -> dict[str, Any]:
    """Return the keywords of a POST that calls a tool as a client of 2026-07-28 does."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": MODERN},
    }
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool}
    return {"content": json.dumps(message).encode(), "headers": {**ACCEPT, **headers}}


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[SocketStream]:
    host, _, port = url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        yield stream


async def read_to_the_end(stream: SocketStream) -> bytes:
    received = b""
    with anyio.fail_after(20):
        while True:
            try:
                received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


async def test_a_call_works_over_http_with_progress_and_text_untouched(mode: Any) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with running_http() as (_, url), Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool("echo", {"prompt": '{"a": null}', "system": "[1]"})
        assert result.structured_content is not None
        assert result.structured_content["text"] == '{"a": null}'
        assert result.structured_content["heard"]["system"] == "[1]"
        await client.call_tool("wait", {"seconds": 0.5}, progress_callback=hear)
    assert heard[0] == 0
    assert len(heard) >= 2


async def test_a_cancelled_call_is_cancelled_inside_and_the_server_goes_on(mode: Any) -> None:
    """2026-07-28 clients cancel by closing the connection, older ones by saying so."""
    async with running_http() as (demo, url), Client(f"{url}/mcp", mode=mode) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "wait", {})
            await demo.noted("started")
            group.cancel_scope.cancel()
        await demo.noted("cancelled")
        assert not (await client.call_tool("echo", {"prompt": "x"})).is_error


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
async def test_an_idle_server_leaves_with_exit_code_0_and_its_lifespan_complete(how: str) -> None:
    async with running_http() as (demo, url):
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/healthz")).status_code == 200
            assert await demo.end(how) == 0
        assert demo.notes() == ["entered", "left"]
        assert await demo.rest_of_stdout() == b""


async def test_a_call_in_flight_is_finished_and_answered_before_the_server_leaves(mode: Any) -> None:
    results: list[bool] = []

    async with running_http("--grace", "15") as (demo, url), Client(f"{url}/mcp", mode=mode) as client:

        async def call() -> None:
            results.append((await client.call_tool("wait", {"seconds": 1})).is_error)

        await client.list_tools()  # it would ask for the schemas after the call, of a server that is gone
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await demo.noted("started")
            assert await demo.end("SIGTERM") == 0
        assert demo.notes() == ["entered", "started", "finished", "left"]
    assert results == [False]


async def test_a_call_that_outlasts_the_grace_time_is_cancelled(mode: Any) -> None:
    failures: list[str] = []

    async with running_http("--grace", "1") as (demo, url), Client(f"{url}/mcp", mode=mode) as client:

        async def call() -> None:
            try:
                await client.call_tool("wait", {})
            except MCPError as error:
                failures.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await demo.noted("started")
            assert await demo.end("SIGTERM") == 0
        assert demo.notes() == ["entered", "started", "cancelled", "left"]
    assert len(failures) == 1


async def test_standing_streams_do_not_hold_up_a_server_that_leaves() -> None:
    """A listen stream of the new era and the GET stream of the old one."""
    async with running_http("--grace", "3600") as (demo, url):
        newer = Client(f"{url}/mcp", mode="auto")
        async with newer, newer.listen(resource_subscriptions=["demo://state"]) as events:
            async with httpx.AsyncClient() as older:
                opened = await older.post(f"{url}/mcp", json=OLDER, headers=ACCEPT)
                session = {"mcp-session-id": opened.headers["mcp-session-id"], **ACCEPT}
                async with older.stream("GET", f"{url}/mcp", headers=session, timeout=60) as stream:
                    assert stream.status_code == 200
                    assert await demo.end("SIGTERM") == 0
                    assert await stream.aread() is not None
            assert [event async for event in events] == []
        assert demo.notes() == ["entered", "left"]


async def test_with_a_token_set_only_its_bearer_is_served(mode: Any) -> None:
    async with running_http(environ=TOKEN) as (_, url), httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/readyz")).status_code == 200
        refused = await client.post(f"{url}/mcp", **modern("echo", {"prompt": "x"}))
        assert (refused.status_code, refused.headers["connection"]) == (401, "close")
        async with (
            httpx2.AsyncClient(headers={"authorization": "Bearer s3cret"}) as bearer,
            Client(streamable_http_client(f"{url}/mcp", http_client=bearer), mode=mode) as allowed,
        ):
            result = await allowed.call_tool("whoami", {})
        assert result.structured_content is not None
        assert result.structured_content["text"] == "default"


async def test_a_body_too_large_is_refused_so_that_the_caller_hears_it() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000_000

    async with running_http() as (_, url), httpx.AsyncClient(timeout=20) as client:
        declared = await client.post(f"{url}/mcp", content=b"x" * 50_000_000, headers=ACCEPT)
        assert declared.status_code == 413
        assert "larger than 1048576 bytes" in declared.json()["message"]
        assert (await client.post(f"{url}/mcp", content=endless(), headers=ACCEPT)).status_code == 413
        assert (await client.post(f"{url}/mcp", **modern("echo", {"prompt": "x" * 900_000}))).status_code == 200


async def test_callers_that_are_slow_on_purpose_are_let_go() -> None:
    """No bytes at all, a head that drips, a body that drips."""

    async def drip(stream: SocketStream, first: bytes) -> None:
        try:
            await stream.send(first)
            while True:
                await anyio.sleep(0.1)
                await stream.send(b"x")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    body = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    ends: dict[str, bytes] = {}

    async def until_let_go(name: str, url: str, first: bytes | None) -> None:
        async with connected(url) as stream, anyio.create_task_group() as group:
            if first is not None:
                group.start_soon(drip, stream, first)
            ends[name] = await read_to_the_end(stream)
            group.cancel_scope.cancel()

    async with running_http() as (_, url):
        async with anyio.create_task_group() as group:
            group.start_soon(until_let_go, "silent", url, None)
            group.start_soon(until_let_go, "head", url, b"GET / HTTP/1.1\r\nx-slow: ")
            group.start_soon(until_let_go, "body", url, body)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/healthz")).status_code == 200
    assert ends["silent"] == b""
    assert ends["head"] == b""
    assert ends["body"].startswith(b"HTTP/1.1 408 ")


async def test_more_connections_than_allowed_are_told_to_come_back() -> None:
    async with running_http() as (_, url):
        async with connected(url) as first, anyio.create_task_group() as group:
            for _ in range(19):
                group.start_soon(hold, url)
            await anyio.sleep(0.2)
            async with connected(url) as refused:
                assert (await read_to_the_end(refused)).startswith(b"HTTP/1.1 503 ")
            await first.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await first.receive()).startswith(b"HTTP/1.1 200 ")
            group.cancel_scope.cancel()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/healthz")).status_code == 200


async def hold(url: str) -> None:
    async with connected(url):
        await anyio.sleep_forever()


async def test_sessions_of_older_clients_are_bounded_and_new_clients_unaffected() -> None:
    async with running_http() as (_, url), httpx.AsyncClient() as client:
        opened = [await client.post(f"{url}/mcp", json=OLDER, headers=ACCEPT) for _ in range(4)]
        assert [answer.status_code for answer in opened] == [200, 200, 200, 503]
        assert (await client.post(f"{url}/mcp", **modern("echo", {"prompt": "x"}))).status_code == 200
        session = {"mcp-session-id": opened[0].headers["mcp-session-id"]}
        assert (await client.delete(f"{url}/mcp", headers=session)).status_code == 200
        assert (await client.post(f"{url}/mcp", json=OLDER, headers=ACCEPT)).status_code == 200


async def test_hostile_json_is_refused_and_the_server_goes_on() -> None:
    async with running_http() as (_, url), httpx.AsyncClient() as client:

        async def said(arguments: dict[str, Any]) -> str:
            answer = await client.post(f"{url}/mcp", **modern("echo", arguments))
            text: str = answer.json()["result"]["content"][0]["text"]
            return text

        assert "half of a surrogate pair" in await said({"prompt": "\ud800"})
        assert "unknown argument" in await said({"prompt": "x", "\udfff": 1})
        assert "NaN and Infinity" in await said({"prompt": "x", "temperature": float("nan")})
        deep = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * 200_000
        headers = modern("echo", {})["headers"]
        assert (await client.post(f"{url}/mcp", content=deep, headers=headers)).status_code == 400
        assert await said({"prompt": "\x00\x1b"}) == "\x00\x1b"


async def test_an_address_in_use_or_unknown_is_told_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = HttpApp(make_server(), check_bind("127.0.0.1", {}))
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1:\d+ cannot be listened on .* Choose another --port"):
            await serve_http(app, port=taken.getsockname()[1])
    environ = {"ROUTER_MCP_TOKEN": "x", "ROUTER_MCP_ALLOWED_HOSTS": "x"}
    with pytest.raises(ConfigError, match=r"no-such-host\.invalid:0 cannot be listened on"):
        await serve_http(HttpApp(make_server(), check_bind("no-such-host.invalid", environ)), port=0)
    with pytest.raises(ConfigError, match="70000 is not a port"):
        await serve_http(HttpApp(make_server(), check_bind("127.0.0.1", {})), port=70_000)


async def test_an_error_while_starting_comes_out_as_it_is() -> None:
    @asynccontextmanager
    async def lifespan(server: MCPServer[None]) -> AsyncGenerator[None]:
        raise ConfigError("Correct line 3.")
        yield

    server: MCPServer[None] = MCPServer("x", lifespan=lifespan)
    with pytest.raises(ConfigError, match="Correct line 3"):
        await serve_http(HttpApp(server, check_bind("127.0.0.1", {})), port=0)


async def test_a_low_limit_of_open_files_is_raised_and_connections_stay_below_it() -> None:
    script = (
        "import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, min(hard, 1000)))\n"
        "from router_mcp.edge.bind import check_bind\n"
        "from router_mcp.edge.http import HttpApp\n"
        "from router_mcp.edge.run import _config\n"
        "from tests.edge.demo import make_server\n"
        "config = _config(HttpApp(make_server(), check_bind('127.0.0.1', {})), 1)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], config.http.max_connections)\n"
    )
    done = await anyio.run_process([sys.executable, "-c", script], cwd=ROOT)
    assert done.stdout.split() == [b"1000", b"744"]
