"""Request bodies: bounded in size and in time, and whole before anything else sees them.

Without a time limit a caller that sends a byte a minute holds a connection for ever (slowloris).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers

from router_mcp.edge.refusal import Refusal, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """An ASGI app that hands another one complete bodies, or answers 413 or 408 for it."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then let the request through with it."""
        try:
            with anyio.fail_after(self._max_s):
                first = await self._body(Headers(scope=scope), receive)
        except _TooLargeError:
            await refuse(self._too_large(), scope, receive, send)
            return
        except TimeoutError:
            await refuse(self._too_slow(), scope, receive, send, linger_s=0)
            return
        pending: list[Message] = [first]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    async def _body(self, headers: Headers, receive: Receive) -> Message:
        """Return the body as one message, or the disconnect that came in its place."""
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise _TooLargeError
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise _TooLargeError
            if not message.get("more_body"):
                return {"type": "http.request", "body": bytes(body), "more_body": False}

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            "body_too_large",
            f"The request body is larger than {self._max_bytes} bytes, the most that this server takes. "
            "Send less in one call, or split it.",
        )

    def _too_slow(self) -> Refusal:
        return Refusal(
            408,
            "body_too_slow",
            f"The request body was not complete after {self._max_s:g} s. Send it again, faster or in smaller parts.",
        )
