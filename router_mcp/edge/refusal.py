"""Saying no over HTTP so that the caller hears it.

A server that answers and closes while the body is still coming makes the caller's system drop the answer
(a TCP reset). So the rest is read and thrown away, for a bounded time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LINGER_S = 5.0
"""Time for a caller to finish a body that nobody wants."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error: its status, a stable word for machines, and a fact with its remedy for people."""

    status: int
    error: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send, *, linger_s: float = LINGER_S) -> None:
    """Answer at once, throw away what still comes for at most `linger_s`, and let the connection close."""
    body = json.dumps({"error": refusal.error, "message": refusal.message}).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
        *refusal.headers,
    ]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if "expect" not in Headers(scope=scope):  # who asked first has not sent a body, and now will not
        with anyio.move_on_after(linger_s):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
