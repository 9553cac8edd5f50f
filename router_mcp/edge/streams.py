"""Streams that stand open until their client leaves: they must not hold up a server that wants to stop.

Clients of 2025 and before keep a GET on `/mcp` open for notifications. Nothing is lost when it ends; calls
in flight are POSTs, and finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class StandingStreams:
    """An ASGI app that lets another one's GET requests run until `stop` is set, and then ends them in order."""

    def __init__(self, app: ASGIApp, stop: anyio.Event) -> None:
        self._app = app
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request; to a GET it looks on `stop` as if its client had left."""
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        unfinished = False

        async def sending(message: Message) -> None:
            nonlocal unfinished
            unfinished = message["type"] == "http.response.start" or bool(message.get("more_body"))
            await send(message)

        async def receiving() -> Message:
            return await self._receive_until_stop(receive)

        await self._app(scope, receiving, sending)
        if unfinished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _receive_until_stop(self, receive: Receive) -> Message:
        message: Message = {"type": "http.disconnect"}

        async def incoming() -> None:
            nonlocal message
            message = await receive()
            group.cancel_scope.cancel()

        async def stopping() -> None:
            await self._stop.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(incoming)
            group.start_soon(stopping)
        return message
