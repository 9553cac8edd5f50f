"""The proxy in front of each runtime, by real nginx with the variables of every file that deploys it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import pytest
from aiohttp import web
from anyio.abc import SocketAttribute, SocketStream

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Endpoint
from router_mcp.runtimes.direct import DirectClient
from router_mcp.runtimes.vllm import VllmRuntime
from tests.contract.calls import Heard, a_call
from tests.contract.replay import exchanges
from tests.infra import nginx

pytestmark = pytest.mark.anyio

DEPLOYMENTS = nginx.deployments()
VLLM = [name for name in DEPLOYMENTS if "vllm" in name]
OLLAMA = [name for name in DEPLOYMENTS if "ollama" in name]
PATIENCE_S = 10
CHAT = "/v1/chat/completions"


@dataclass
class Runtime:
    """Answers as vLLM or Ollama would: its own health path, `/healthz` unknown, and every other route wide open."""

    health_path: str
    health: int = 200
    reached: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    go_on: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.reached.append(request.raw_path)
        self.hosts.add(request.host)
        if request.path == self.health_path:
            return web.Response(status=self.health)
        if request.path in {"/healthz", "/livez", "/readyz"}:
            return web.Response(status=404)
        if request.query_string == "stream":
            return await self._stream(request)
        if request.query_string == "cut":
            response = await self._begin(request)
            assert request.transport is not None
            request.transport.abort()
            return response
        if request.query_string == "drop":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text=f"{request.method} {len(await request.read())}")

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        try:
            await self.go_on.wait()
        finally:
            if not self.go_on.is_set():
                self.left.set()
        await response.write(b"data: second\n\n")
        return response


@asynccontextmanager
async def served(handler: web.RequestHandler | object, port: int = 0) -> AsyncIterator[int]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]  # a bound method is a handler
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def door(deployment: str) -> AsyncIterator[tuple[httpx.AsyncClient, Runtime]]:
    """Yield a client of the proxy, and the runtime behind it."""
    variables = DEPLOYMENTS[deployment]
    runtime = Runtime(variables["PROXY_HEALTH_PATH"])
    async with served(runtime.answer) as upstream:
        with nginx.running(variables, f"127.0.0.1:{upstream}") as port:
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False)
            async with client:
                yield client, runtime


async def raw(client: httpx.AsyncClient, text: str) -> bytes:
    """Send bytes as they are, which no client library does, and return the beginning of the answer."""
    async with await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as connection:
        with anyio.fail_after(PATIENCE_S):
            await connection.send(text.encode())
            return await connection.receive()


# --- health


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_healthz_answers_for_the_runtime(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        assert (await client.get("/healthz")).status_code == 200
        assert runtime.reached == [runtime.health_path]
        runtime.health = 503
        assert (await client.get("/healthz")).status_code == 503


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_healthz_fails_while_the_runtime_is_not_there(deployment: str) -> None:
    with nginx.running(DEPLOYMENTS[deployment], f"127.0.0.1:{nginx.free_port()}") as port:
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 502


# --- what is open, what is shut


@pytest.mark.parametrize("deployment", VLLM)
async def test_vllms_inference_and_metrics_pass(deployment: str) -> None:
    async with door(deployment) as (client, _):
        for path in ("/health", "/metrics", "/version", "/v1/models"):
            assert (await client.get(path)).text == "GET 0" or path == "/health"
        assert (await client.post(CHAT, content=b"x" * 2_000_000)).text == "POST 2000000"


@pytest.mark.parametrize("deployment", OLLAMA)
async def test_ollamas_inference_passes(deployment: str) -> None:
    async with door(deployment) as (client, _):
        for path in ("/", "/api/tags", "/api/ps", "/api/version", "/v1/models"):
            assert (await client.get(path)).status_code == 200
        for path in ("/api/chat", "/api/generate", "/api/embed", "/api/show"):
            assert (await client.post(path, json={})).status_code == 200


VLLM_SHUT = (
    "/invocations",  # inference without a key (vLLM B1 #10)
    "/docs",
    "/openapi.json",
    "/collective_rpc",
    "/sleep",
    "/update_weights",
    "/v1/load_lora_adapter",
    "/v1/models/x",
    "/v1/../invocations",
    "/v1/%2e%2e/invocations",
    "/v1/..%2finvocations",
    "//invocations",
    "/invocations/",
    "/INVOCATIONS",
    "/v1/chat/completions/../../../invocations",
    "/v1/models/;/../../invocations",
    "/health/../invocations",
    "/metrics%20",
    "/v1/models%0a",
)


@pytest.mark.parametrize("deployment", VLLM)
async def test_everything_else_of_vllm_is_shut_however_it_is_spelt(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        for path in VLLM_SHUT:
            answer = await raw(client, f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert answer.split()[1] in {b"400", b"404"}, path
        assert runtime.reached == []


@pytest.mark.parametrize("deployment", OLLAMA)
async def test_nobody_pulls_pushes_or_deletes_models_through_the_proxy(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        for method, path in (
            ("POST", "/api/pull"),
            ("POST", "/api/push"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/blobs/sha256:0"),
            ("POST", "/api/chat/../delete"),
            ("POST", "/v1/%2e%2e/api/pull"),
        ):
            answer = await raw(client, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert answer.split()[1] == b"404", path
        assert runtime.reached == []


async def test_the_cache_reset_is_the_only_developer_route_that_can_be_opened() -> None:
    for deployment, expected in (("helm vllm", 404), ("helm vllm with reset", 200)):
        async with door(deployment) as (client, _):
            assert (await client.post("/reset_prefix_cache")).status_code == expected
            assert (await client.post("/collective_rpc")).status_code == 404


# --- who may ask


@pytest.mark.parametrize("deployment", ["compose vllm", "compose ollama", "helm ollama"])
async def test_a_name_that_is_not_ours_is_refused(deployment: str) -> None:
    """Otherwise a page in a browser could reach the port under a name of its own (DNS rebinding)."""
    async with door(deployment) as (client, runtime):
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""):
            assert (await client.get("/v1/models", headers={"host": host})).status_code in {400, 421}
        assert runtime.reached == []
        assert (await client.get("/v1/models", headers={"host": "localhost:11434"})).status_code == 200


async def test_inside_the_cluster_probes_may_call_the_pod_by_its_address() -> None:
    async with door("helm vllm") as (client, runtime):
        assert (await client.get("/healthz", headers={"host": "10.1.2.3:8000"})).status_code == 200
        assert runtime.hosts == {"localhost"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_web_page_of_another_origin_is_refused(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        for origin in (
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ):
            assert (await client.post(CHAT, headers={"origin": origin})).status_code == 403
        assert runtime.reached == []
        for origin in ("http://localhost:3000", "http://127.0.0.1"):
            assert (await client.post(CHAT, headers={"origin": origin})).status_code == 200


# --- streams


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_token_arrives_while_the_next_one_is_not_yet_written(deployment: str) -> None:
    """The runtime goes on only after the first piece was read here: were it held back, this would never end."""
    async with door(deployment) as (client, runtime), client.stream("POST", f"{CHAT}?stream", json={}) as response:
        pieces = response.aiter_bytes()
        with anyio.fail_after(PATIENCE_S):
            assert await anext(pieces) == b"data: first\n\n"
            runtime.go_on.set()
            assert await anext(pieces) == b"data: second\n\n"


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_nothing_is_held_back_even_of_an_answer_without_chunks(deployment: str) -> None:
    """nginx passes chunks on by itself; whether it buffers shows where an answer only ends with its connection."""
    go_on = anyio.Event()

    async def stream(connection: SocketStream) -> None:
        async with connection:
            await connection.receive()
            await connection.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfirst")
            await go_on.wait()
            await connection.send(b"second")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, stream)
        upstream = f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        with nginx.running(DEPLOYMENTS[deployment], upstream) as port, anyio.fail_after(PATIENCE_S):
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False)
            async with client, client.stream("POST", CHAT, json={}) as response:
                pieces = response.aiter_bytes()
                assert await anext(pieces) == b"first"
                go_on.set()
                assert await anext(pieces) == b"second"
        group.cancel_scope.cancel()


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_caller_that_leaves_stops_the_generation(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        async with client.stream("POST", f"{CHAT}?stream", json={}) as response:
            await anext(response.aiter_bytes())
        with anyio.fail_after(PATIENCE_S):
            await runtime.left.wait()


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_stream_that_breaks_breaks_here_too(deployment: str) -> None:
    async with door(deployment) as (client, _):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{CHAT}?cut", json={})


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_the_proxy_never_asks_twice(deployment: str) -> None:
    """What is tried again is for the router to decide: it knows the deadline and the other runtimes."""
    async with door(deployment) as (client, runtime):
        assert (await client.post(f"{CHAT}?drop", json={})).status_code == 502
        assert runtime.reached == [f"{CHAT}?drop"]


# --- what one caller may take


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_body_beyond_32_mib_is_refused_before_it_is_sent(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {33 * 1024 * 1024}\r\n\r\n"
        assert (await raw(client, head)).split()[1] == b"413"
        assert runtime.reached == []


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
async def test_a_request_that_dribbles_in_never_reaches_the_runtime(deployment: str) -> None:
    async with door(deployment) as (client, runtime):
        half = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{'x' * 50}"
        async with await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as slow:
            await slow.send(half.encode())
            assert (await client.get("/v1/models")).status_code == 200
            assert runtime.reached == ["/v1/models"]


# --- together with the router


async def test_the_routers_adapter_works_through_the_door_with_recorded_answers() -> None:
    recorded = {exchange.path: exchange for exchange in exchanges("vllm-0.32.0", "chat_stream_usage")}
    path, exchange = next(iter(recorded.items()))

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        assert request.path == path
        return web.Response(body=exchange.body, headers=dict(exchange.headers))

    async with served(answer) as upstream:
        with nginx.running(DEPLOYMENTS["helm vllm"], f"127.0.0.1:{upstream}") as port:
            endpoint = Endpoint(runtime="vllm", url=f"http://127.0.0.1:{port}")
            config = RuntimeConfig(kind="vllm", endpoints=(endpoint.url,))
            runtime = VllmRuntime(config, DirectClient(connect_s=2))
            try:
                heard = Heard()
                completion = await runtime.generate(a_call(endpoint), heard)
            finally:
                await runtime.aclose()
    assert completion.text == "".join(heard.texts) != ""
