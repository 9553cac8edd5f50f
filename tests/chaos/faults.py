"""The ways in which a runtime can be down, and what a fake does then with a request for an answer.

`refuse`, `half-open` and `dns` happen before a request is read: the first two are the listener's (`runtime.py`), the
last is a matter of the policy's URL. Whatever hits only answers, and not health checks, is the harder case.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

import anyio
from anyio.abc import SocketAttribute, SocketStream

from tests.chaos.recorded import Wire, head, reply
from tests.contract.replay import Exchange
from tests.contract.sockets import chunk


class Fault(StrEnum):
    """What is wrong with a runtime."""

    OK = "ok"
    REFUSE = "refuse"
    RESET = "reset"
    RESET_ANSWERS = "reset, health 200"
    HALF_OPEN = "half-open TCP"
    DNS = "DNS failure"
    HANG = "hang before headers"
    FROZEN = "frozen engine, health 200"
    HANG_MIDWAY = "hang mid-stream"
    DRIP = "slow drip"
    CHATTER = "keep-alives, no token"
    CUT = "cut mid-stream"
    UNFINISHED = "end without terminator"
    EMPTY = "empty 200"
    GARBAGE = "garbage"
    BAD_GZIP = "gzip that is none"
    NOISE = "not HTTP"
    TRUNCATED_JSON = "truncated JSON"
    LONG_LENGTH = "Content-Length too long"
    SHORT_LENGTH = "Content-Length too short"
    WRONG_TYPE = "wrong content type"
    TOO_MANY = "429"
    TOO_MANY_WAIT = "429, Retry-After 1"
    CONFLICT = "409"
    FULL = "503, queue full"
    PROXY_400 = "400 of a proxy"
    PROXY_503 = "503 of a proxy"
    REDIRECT = "redirect"
    FAILED = "500"
    UNAUTHORIZED = "401"
    MISSING = "404, model missing"


WHOLE = frozenset({Fault.RESET, Fault.HANG})
"""Faults that hit health checks too."""
NOBODYS = frozenset({Fault.TOO_MANY, Fault.TOO_MANY_WAIT, Fault.CONFLICT, Fault.FULL})
"""Faults that make nothing unhealthy."""

Behaviour = Callable[[Wire, SocketStream], Awaitable[bool]]
"""Answers one request; tells whether the connection may be used again."""


def reset(stream: SocketStream) -> None:
    """Let closing the connection send RST, as the kernel of a dead process does."""
    raw = stream.extra(SocketAttribute.raw_socket)
    with suppress(OSError):  # it is closed already
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def opening(wire: Wire) -> bytes:
    """Return the head of a streamed answer."""
    return head(200, dict(wire.stream.headers) | {"transfer-encoding": "chunked"})


def _says(make: Callable[[Wire], bytes], *, keeps: bool = False) -> Behaviour:
    """Say these bytes, and close the connection unless it can be used again."""

    async def say(wire: Wire, stream: SocketStream) -> bool:
        await stream.send(make(wire))
        return keeps

    return say


def _says_and_hangs(make: Callable[[Wire], bytes]) -> Behaviour:
    async def hang(wire: Wire, stream: SocketStream) -> bool:
        if said := make(wire):
            await stream.send(said)
        await stream.receive()  # ends when the client closes the connection, and raises then
        return False

    return hang


async def _resets(wire: Wire, stream: SocketStream) -> bool:
    reset(stream)
    return False


async def _drips(wire: Wire, stream: SocketStream) -> bool:
    """Send the whole answer at 20 bytes a second."""
    for byte in opening(wire) + chunk(wire.stream.body) + chunk(b""):
        await stream.send(bytes([byte]))
        await anyio.sleep(0.05)
    return True


async def _chatters(wire: Wire, stream: SocketStream) -> bool:
    """Keep the connection alive as proxies do, and say nothing."""
    await stream.send(opening(wire))
    while True:
        await stream.send(chunk(b": keep-alive\n\n" if wire.chat_path.startswith("/v1") else b"\n"))
        await anyio.sleep(0.1)


def _refuses(name: str) -> Behaviour:
    return _says(lambda wire: reply(wire.refusals[name]), keeps=True)


def _status(status: int, **headers: str) -> Behaviour:
    """Answer as a proxy before the runtime does: with a page and no JSON."""
    page = Exchange("POST", "/", None, status, (("content-type", "text/html"),), b"<html>sorry</html>")
    return _says(lambda _: reply(page, **headers), keeps=True)


def _chunked(body: Callable[[Wire], bytes]) -> Behaviour:
    """Send this as the body of a streamed answer, with a proper end."""
    return _says(lambda wire: opening(wire) + chunk(body(wire)) + chunk(b""), keeps=True)


def _with_length(difference: int) -> Behaviour:
    def make(wire: Wire) -> bytes:
        body = wire.stream.body[: wire.cut_at]
        return head(200, dict(wire.stream.headers) | {"content-length": str(len(body) + difference)}) + body

    return _says(make)


def _half(wire: Wire) -> bytes:
    return wire.stream.body[: wire.cut_at]


def _without_end(wire: Wire) -> bytes:
    return b"".join(piece for piece in wire.pieces if wire.terminator not in piece and b"[DONE]" not in piece)


async def _ignores(wire: Wire, stream: SocketStream) -> bool:
    await anyio.sleep_forever()
    return False


BEHAVIOURS: dict[Fault, Behaviour] = {
    Fault.REFUSE: _resets,  # what was accepted in the moment of death
    Fault.HALF_OPEN: _ignores,
    Fault.RESET: _resets,
    Fault.RESET_ANSWERS: _resets,
    Fault.HANG: _says_and_hangs(lambda _: b""),
    Fault.FROZEN: _says_and_hangs(lambda wire: opening(wire) if wire.chat_path.startswith("/v1") else b""),
    Fault.HANG_MIDWAY: _says_and_hangs(lambda wire: opening(wire) + chunk(_half(wire))),
    Fault.DRIP: _drips,
    Fault.CHATTER: _chatters,
    Fault.CUT: _says(lambda wire: opening(wire) + chunk(_half(wire))),
    Fault.UNFINISHED: _chunked(_without_end),
    Fault.EMPTY: _says(lambda wire: head(200, dict(wire.stream.headers) | {"content-length": "0"}), keeps=True),
    Fault.GARBAGE: _chunked(lambda _: b"\x00\xff{]garbage\n\n" * 20),
    Fault.BAD_GZIP: _says(
        lambda wire: (
            head(200, dict(wire.stream.headers) | {"content-encoding": "gzip", "content-length": "400"})
            + b"\x1f\x8c" * 200
        )
    ),
    Fault.NOISE: _says(lambda _: b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    Fault.TRUNCATED_JSON: _chunked(lambda wire: wire.stream.body[: wire.cut_at - 20] + b"\n\n"),
    Fault.LONG_LENGTH: _with_length(10_000),
    Fault.SHORT_LENGTH: _with_length(-40),
    Fault.WRONG_TYPE: _says(
        lambda _: reply(Exchange("POST", "/", None, 200, (("content-type", "text/html"),), b"<html>log in</html>")),
        keeps=True,
    ),
    Fault.TOO_MANY: _status(429),
    Fault.TOO_MANY_WAIT: _status(429, **{"retry-after": "1"}),
    Fault.CONFLICT: _status(409),
    Fault.FULL: _refuses("full"),
    Fault.PROXY_400: _status(400),
    Fault.PROXY_503: _status(503),
    Fault.REDIRECT: _status(307, location="/login"),
    Fault.FAILED: _refuses("failed"),
    Fault.UNAUTHORIZED: _refuses("unauthorized"),
    Fault.MISSING: _refuses("missing"),
}
