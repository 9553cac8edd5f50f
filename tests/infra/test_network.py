"""The router facing a network: strangers, foreign pages, huge and slow requests, thousands of idle callers."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from router_mcp.edge.http import HttpLimits
from tests.infra import served
from tests.infra.served import ACCEPT, BEARER, BOUND_S, HOST, INITIALIZE, LIST_TOOLS, MODERN, Served

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
MANY = 10_000
ROUTES = ("/mcp", "/metrics", "/", "/nowhere")


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served.running(tmp_path_factory.mktemp("router")) as running:
        yield running


async def well(router: Served) -> None:
    """Check that a caller with the token gets an answer now."""
    async with router.client() as client:
        listed = await client.post("/mcp", json=LIST_TOOLS, headers={**ACCEPT, **BEARER, **MODERN})
    assert listed.status_code == 200, listed.text
    assert "generate" in listed.text


# --- who may enter


def test_it_does_not_open_to_a_network_without_token_and_names() -> None:
    refused = subprocess.run(
        served.command("--host", "0.0.0.0", "--port", "0"),
        env=served.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "ROUTER_MCP_TOKEN and ROUTER_MCP_ALLOWED_HOSTS are not set" in said
    assert "bind 127.0.0.1" in said


async def test_a_caller_with_the_token_is_served(router: Served) -> None:
    await well(router)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {served.TOKEN}x"},
        {"authorization": f"Bearer {served.TOKEN[:-1]}"},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {served.TOKEN}"},
        {"authorization": served.TOKEN},
        {"x-api-key": served.TOKEN},
    ],
    ids=["none", "wrong", "longer", "shorter", "empty", "basic", "bare", "elsewhere"],
)
async def test_without_the_token_there_is_nothing(router: Served, route: str, sent: dict[str, str]) -> None:
    async with router.client() as client:
        refused = await client.post(route, json=INITIALIZE, headers={**ACCEPT, **sent})
    assert refused.status_code == 401
    assert served.TOKEN not in refused.text


@pytest.mark.parametrize("route", [*ROUTES, "/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["evil.example", f"{HOST}.evil.example", "127.0.0.1.evil.example", "10.0.0.1:80"])
async def test_a_foreign_host_is_refused_on_every_route(router: Served, route: str, host: str) -> None:
    async with router.client() as client:
        refused = await client.get(route, headers={**ACCEPT, **BEARER, "host": host})
    assert refused.status_code == 421


@pytest.mark.parametrize("route", [*ROUTES, "/healthz", "/readyz"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"https://{HOST}.evil.example", "file://"])
async def test_a_page_of_a_foreign_origin_is_refused_on_every_route(router: Served, route: str, origin: str) -> None:
    async with router.client() as client:
        refused = await client.post(route, json=INITIALIZE, headers={**ACCEPT, **BEARER, "origin": origin})
    assert refused.status_code == 403


async def test_its_own_name_is_answered(router: Served) -> None:
    async with router.client() as client:
        for host in (HOST, f"{HOST}:8080", f"localhost:{router.port}"):
            headers = {**ACCEPT, **BEARER, **MODERN, "host": host, "origin": f"https://{HOST}"}
            assert (await client.post("/mcp", json=LIST_TOOLS, headers=headers)).status_code == 200


# --- how much one caller may take


HUGE = 100 * MIB


def head(*fields: str) -> bytes:
    """Return the head of a POST with the token and these further fields."""
    known = [f"{name}: {value}" for name, value in {"host": "localhost", **ACCEPT, **BEARER}.items()]
    return "\r\n".join(["POST /mcp HTTP/1.1", *known, *fields, "", ""]).encode()


async def test_a_body_of_100_mb_is_refused_by_its_declared_length(router: Served) -> None:
    async with await router.connect() as stream:
        await stream.send(head(f"content-length: {HUGE}"))
        with anyio.fail_after(BOUND_S):
            assert await served.answer(stream) == 413
    await well(router)


async def test_a_body_of_100_mb_that_declares_nothing_is_refused_on_the_way(router: Served) -> None:
    before = router.memory_mib()
    sent = 0

    async def pour(stream: SocketStream) -> None:
        nonlocal sent
        piece = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
        try:
            while sent < HUGE:
                await stream.send(piece)
                sent += MIB
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the server closed on us, as it should

    async with await router.connect() as stream, anyio.create_task_group() as group:
        await stream.send(head("transfer-encoding: chunked"))
        group.start_soon(pour, stream)
        with anyio.fail_after(BOUND_S):
            assert await served.answer(stream) == 413
        group.cancel_scope.cancel()
    assert router.memory_mib() < before + 40
    await well(router)


async def test_callers_that_dribble_are_let_go_while_others_are_served(router: Served) -> None:
    """Slowloris: 100 heads that never end, a byte at a time, 100 callers that say nothing, 100 bodies that crawl."""
    before = router.memory_mib()
    ended = 0

    async def dribble(begin: bytes, more: bytes) -> None:
        nonlocal ended
        async with await router.connect() as stream:
            await stream.send(begin)
            try:
                while True:
                    with anyio.move_on_after(1):
                        await stream.receive()
                    await stream.send(more)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                ended += 1

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(dribble, b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-slow: ", b"x")
            group.start_soon(dribble, b"", b"")
            group.start_soon(dribble, head("content-length: 100000") + b"{", b"x")
        await anyio.sleep(0.5)
        for _ in range(5):
            await well(router)
        with anyio.fail_after(BOUND_S):
            while ended < 200:
                await anyio.sleep(0.1)
            await well(router)
        group.cancel_scope.cancel()
    assert router.memory_mib() < before + 40


async def test_ten_thousand_idle_connections_are_bounded_and_leave_no_trace(router: Served) -> None:
    before = router.memory_mib()
    streams = [await router.connect() for _ in range(served.allow_files(MANY))]
    try:
        assert router.memory_mib() < before + 200
        assert await health(router) in {None, 200, 503}  # full is full, and said quickly
    finally:
        for stream in streams:
            await stream.aclose()
    with anyio.fail_after(BOUND_S):
        while await health(router) != 200:
            await anyio.sleep(0.05)
    await well(router)


async def health(router: Served) -> int | None:
    """Return the status of `/healthz`, or nothing when the connection was closed."""
    try:
        async with router.client() as client:
            return (await client.get("/healthz")).status_code
    except httpx.TransportError:
        return None


async def test_ten_thousand_idle_sessions_are_bounded_in_number_and_memory(router: Served) -> None:
    """Sessions are of clients of 2025 and before; they open one and never come back."""
    before = router.memory_mib()
    statuses: Counter[int] = Counter()
    opened = iter(range(MANY))

    async def open_sessions() -> None:
        async with await router.connect() as stream:
            request = served.post(INITIALIZE)
            for _ in opened:
                await stream.send(request)
                statuses[await served.answer(stream)] += 1

    with anyio.fail_after(3 * BOUND_S):
        async with anyio.create_task_group() as group:
            for _ in range(32):
                group.start_soon(open_sessions)
    assert statuses.total() == MANY
    assert statuses.keys() <= {200, 503}
    assert 0 < statuses[200] <= HttpLimits().sessions
    assert router.memory_mib() < before + 400
    await well(router)  # a client of 2026 has no session, so it never notices
