"""A caller of ASGI apps that can be slow, large or rude, on whatever clock the test has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.types import ASGIApp, Message


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    seconds: float = 0.0
    unread: bool = False
    """The caller was still sending when the app was done."""

    def json(self) -> Any:
        return json.loads(self.body)


async def chunks(parts: Iterable[bytes], pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for part in parts:
        await anyio.sleep(pause_s)
        yield part


async def ask(
    app: ASGIApp,
    path: str = "/mcp",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    body: AsyncIterator[bytes] | bytes = b"",
) -> Answer:
    """Make one request; the body's last message comes only once the iterator has ended."""
    answer, parts = Answer(), chunks([body]) if isinstance(body, bytes) else body
    sent: dict[str, str] = {"host": "localhost", **(headers or {})}
    state = {"done": False}

    async def receive() -> Message:
        if state["done"]:
            await anyio.sleep_forever()
        part = await anext(parts, None)
        state["done"] = part is None
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message["body"]
            answer.complete = not message.get("more_body", False)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items() if value],
    }
    start = anyio.current_time()
    await app(scope, receive, send)
    answer.seconds = anyio.current_time() - start
    answer.unread = not state["done"]
    return answer
