"""The HTTP face without sockets: who gets in, how much, how long, and what stands beside `/mcp`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router_mcp.edge.bind import Bind, Names, Tokens, check_bind
from router_mcp.edge.body import BodyLimit
from router_mcp.edge.http import HttpApp, HttpLimits, Pages
from router_mcp.edge.streams import StandingStreams
from tests.edge.asgi import Answer, ask, chunks
from tests.edge.demo import make_server

pytestmark = pytest.mark.anyio

TOKEN = {"ROUTER_MCP_TOKEN": "s3cret", "ROUTER_MCP_ALLOWED_HOSTS": "router.example.com"}
BEARER = {"authorization": "Bearer s3cret"}
ACCEPT = {"accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}


def make_app(environ: dict[str, str] | None = None, **options: Any) -> HttpApp:
    return HttpApp(make_server(), check_bind("127.0.0.1", environ or {}), **options)


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"hello {request.user.display_name if 'user' in request.scope else 'you'}")


async def test_health_and_readiness_need_no_token() -> None:
    app = make_app(TOKEN)
    assert (await ask(app, "/healthz", method="GET")).status == 200
    ready = await ask(app, "/readyz", method="GET")
    assert (ready.status, ready.json()) == (200, {"status": "ready"})


async def test_readiness_tells_why_not() -> None:
    reasons: list[str | None] = ["No runtime is up.", None]
    app = make_app(pages=Pages(ready=lambda: reasons.pop(0)))
    first = await ask(app, "/readyz", method="GET")
    assert (first.status, first.json()["reason"]) == (503, "No runtime is up.")
    assert (await ask(app, "/readyz", method="GET")).status == 200


async def test_a_server_that_is_leaving_is_not_ready_but_alive() -> None:
    app = make_app()
    app.stop()
    answer = await ask(app, "/readyz", method="GET")
    assert (answer.status, answer.json()["reason"]) == (503, "The server is shutting down.")
    assert (await ask(app, "/healthz", method="GET")).status == 200


async def test_metrics_are_shown_as_they_are_made_and_guarded() -> None:
    app = make_app(TOKEN, pages=Pages(metrics=lambda: (b"up 1\n", "text/plain; version=1.0.0")))
    assert (await ask(app, "/metrics", method="GET")).status == 401
    answer = await ask(app, "/metrics", method="GET", headers=BEARER)
    assert (answer.status, answer.body) == (200, b"up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0"


async def test_without_metrics_there_is_no_such_page() -> None:
    assert (await ask(make_app(), "/metrics", method="GET")).status == 404


@pytest.mark.parametrize("path", ["/", "/status.json", "/mcp", "/metrics", "/nowhere"])
@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Bearer s3cretx", "Basic s3cret", "s3cret", "Bearer \xff\xfe"],
)
async def test_without_the_token_every_other_page_is_closed(path: str, sent: str) -> None:
    app = make_app(TOKEN, pages=Pages(extra=(Route("/", hello),)))
    answer = await ask(app, path, headers={"authorization": sent})
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic" if path in {"/", "/status.json"} else "Bearer")
    assert answer.json()["error"] == "unauthorized"
    assert "s3cret" not in str(answer)


async def test_the_token_opens_extra_pages_which_know_the_principal() -> None:
    app = make_app(TOKEN, pages=Pages(extra=(Route("/", hello),)))
    answer = await ask(app, "/", method="GET", headers={"authorization": "bearer s3cret"})
    assert (answer.status, answer.body) == (200, b"hello default")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/mcp", 401), ("/metrics", 401)])
async def test_a_browser_may_give_the_token_as_a_password_for_the_pages_for_people(path: str, status: int) -> None:
    app = make_app(TOKEN, pages=Pages(extra=(Route("/", hello),)))
    password = {"authorization": "Basic " + base64.b64encode(b"anyone:s3cret").decode()}
    assert (await ask(app, path, method="GET", headers=password)).status == status


async def test_without_a_token_set_there_is_no_principal() -> None:
    app = make_app(pages=Pages(extra=(Route("/", hello),)))
    assert (await ask(app, "/", method="GET")).body == b"hello you"


@pytest.mark.parametrize("path", ["/", "/mcp", "/healthz", "/readyz", "/metrics"])
async def test_a_foreign_host_or_origin_is_refused_on_every_page(path: str) -> None:
    app = make_app(TOKEN, pages=Pages(extra=(Route("/", hello),)))
    foreign = await ask(app, path, method="GET", headers={**BEARER, "host": "evil.example.com"})
    assert (foreign.status, foreign.json()["error"]) == (421, "host_not_allowed")
    nameless = await ask(app, path, method="GET", headers={**BEARER, "host": ""})
    assert nameless.status == 421
    page = await ask(app, path, method="GET", headers={**BEARER, "origin": "https://evil.example.com"})
    assert (page.status, page.json()["error"]) == (403, "origin_not_allowed")


async def test_an_allowed_host_and_origin_pass() -> None:
    headers = {"host": "router.example.com", "origin": "https://router.example.com"}
    assert (await ask(make_app(TOKEN), "/healthz", method="GET", headers=headers)).status == 200


async def test_a_session_of_one_principal_does_not_exist_for_another() -> None:
    tokens = Tokens((("acme", b"a"), ("globex", b"g")))
    app = HttpApp(make_server(), Bind(host="127.0.0.1", names=Names(), tokens=tokens))
    acme, globex = ({**ACCEPT, "authorization": f"Bearer {token}"} for token in "ag")
    transport = httpx.ASGITransport(app=app)
    async with app.running(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        opened = await client.post("/mcp", json=INITIALIZE, headers=acme)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
        foreign = await client.post("/mcp", json=call, headers={**globex, **session})
        own = await client.post("/mcp", json=call, headers={**acme, **session})
    assert foreign.status_code == 404
    assert own.status_code == 200
    assert '"text":"acme"' in own.text


def limited(limit: int = 100, seconds: float = 30) -> tuple[BodyLimit, list[bytes]]:
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert message["more_body"] is False
        bodies.append(message["body"])
        await Response("ok")(scope, receive, send)

    return BodyLimit(app, max_bytes=limit, max_s=seconds), bodies


async def test_a_body_within_the_limits_arrives_whole() -> None:
    app, bodies = limited(100)
    answer = await ask(app, body=chunks([b"x" * 50, b"y" * 50], pause_s=10))
    assert answer.status == 200
    assert bodies == [b"x" * 50 + b"y" * 50]


async def test_a_body_that_declares_too_much_is_refused_before_it_is_read_and_then_drained() -> None:
    app, bodies = limited(100)
    answer = await ask(app, headers={"content-length": "101"}, body=chunks([b"x"] * 101))
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert "larger than 100 bytes" in answer.json()["message"]
    assert not answer.unread
    assert not bodies


async def test_a_body_that_grows_too_large_is_refused_on_the_way() -> None:
    app, bodies = limited(100)
    answer = await ask(app, body=chunks([b"x" * 60] * 50))
    assert answer.status == 413
    assert answer.complete
    assert not answer.unread
    assert not bodies


async def test_draining_ends_however_long_the_caller_goes_on() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(1)
            yield b"x" * 60

    app, _ = limited(100)
    answer = await ask(app, body=endless())
    assert answer.status == 413
    assert answer.complete
    assert answer.seconds < 10


async def test_who_asked_before_sending_is_not_waited_for() -> None:
    async def never() -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""

    app, _ = limited(100)
    answer = await ask(app, headers={"content-length": "101", "expect": "100-continue"}, body=never())
    assert (answer.status, answer.complete) == (413, True)
    assert answer.seconds < 1


async def test_a_body_that_drips_is_refused_in_time() -> None:
    app, bodies = limited(seconds=30)
    answer = await ask(app, body=chunks([b"x"] * 100, pause_s=9))
    assert answer.status == 408
    assert 30 <= answer.seconds < 31
    assert "not complete after 30 s" in answer.json()["message"]
    assert not bodies


async def test_a_caller_that_leaves_in_the_middle_reaches_the_app_as_such() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await BodyLimit(app, max_bytes=1, max_s=1)({"type": "http", "headers": []}, receive, send)
    assert seen == ["http.disconnect"]


async def test_the_limits_of_an_app_are_its_own() -> None:
    app = make_app(limits=HttpLimits(body_bytes=10, body_s=5))
    assert (await ask(app, body=b"x" * 11)).status == 413
    assert (await ask(app, body=chunks([b"x"] * 9, pause_s=2))).status == 408


def standing(forever: bool) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while forever and (await receive())["type"] != "http.disconnect":
            pass
        if not forever:
            await receive()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def stopped(app: ASGIApp, stop: anyio.Event, method: str) -> Answer:
    async def later() -> None:
        await anyio.sleep(60)
        stop.set()

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        return await ask(app, method=method)
    raise AssertionError


async def test_a_standing_get_ends_in_order_when_the_server_stops() -> None:
    stop = anyio.Event()
    answer = await stopped(StandingStreams(standing(True), stop), stop, "GET")
    assert answer.complete
    assert 60 <= answer.seconds < 61


async def test_a_get_that_ends_by_itself_is_not_ended_twice() -> None:
    stop = anyio.Event()
    answer = await stopped(StandingStreams(standing(False), stop), stop, "GET")
    assert answer.complete
    assert answer.seconds < 1


async def test_calls_in_flight_are_not_told_that_the_server_stops() -> None:
    stop = anyio.Event()
    stop.set()
    app = StandingStreams(standing(True), stop)
    with anyio.move_on_after(60) as waited:
        await ask(app, method="POST")
    assert waited.cancelled_caught
