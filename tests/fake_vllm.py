"""A vLLM on a real socket that says one sentence, remembers what it was sent, and drops its cache when told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

EVENTS = "text/event-stream; charset=utf-8"


@dataclass
class FakeVllm:
    """One server; `url` is known once it listens."""

    says: str
    url: str = ""
    sent: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the chat calls."""
    resets: int = 0

    def salts(self) -> list[str | None]:
        return [body.get("cache_salt") for body in self.sent]

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        if path.startswith("/v1/chat"):
            self.sent.append(json.loads(body))
            return 200, EVENTS, self._stream()
        if path.startswith("/reset_prefix_cache"):
            self.resets += 1
            return 200, "application/json", b'{"success":true}'
        known = {
            "/health": b"",
            "/version": b'{"version":"0.32.0"}',
            "/v1/models": b'{"data":[{"id":"big"}]}',
            "/metrics": b"vllm:num_requests_running{} 0.0\n",
        }
        return (200, "application/json", known[path]) if path in known else (404, "application/json", b"{}")

    def _stream(self) -> bytes:
        def event(delta: dict[str, str], finish: str | None = None) -> str:
            return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        events = [event({"role": "assistant", "content": ""}), event({"content": self.says}), event({}, "stop"), usage]
        return "".join(f"data: {each}\n\n" for each in [*events, "[DONE]"]).encode()

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                path, body = await _request(stream)
                status, kind, content = self.answer(path, body)
                head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
                await stream.send(f"{head}connection: close\r\n\r\n".encode() + content)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[FakeVllm]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            yield self
            tasks.cancel_scope.cancel()


async def _request(stream: SocketStream) -> tuple[str, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < wanted:
        body += await stream.receive()
    return head.split(b" ", 2)[1].decode(), body
