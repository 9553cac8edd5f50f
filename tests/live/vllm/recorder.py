"""Writes down what goes over the wire, in the form that `tests/contract/replay.py` reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.live.vllm import places

_KEPT = {"accept", "accept-encoding", "content-type", "traceparent", "x-request-id"}


class _Copied(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, into: bytearray) -> None:
        self._stream = stream
        self._into = into

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._into.extend(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class Recorder(httpx.AsyncBaseTransport):
    """Passes everything on and keeps a copy."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._seen: list[tuple[httpx.Request, httpx.Response, bytearray]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request for real."""
        response = await self._inner.handle_async_request(request)
        copy = bytearray()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Copied(response.stream, copy)
        self._seen.append((request, response, copy))
        return response

    async def aclose(self) -> None:
        """Close what it passes to."""
        await self._inner.aclose()

    def body(self, index: int = -1) -> bytes:
        """Return what an answer held."""
        return bytes(self._seen[index][2])

    def write(self, path: Path, *, name: str, server: str) -> None:
        """Write everything seen so far as one recording."""
        exchanges = [_exchange(*seen) for seen in self._seen]
        document = {"name": name, "server": server, "exchanges": exchanges}
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _exchange(request: httpx.Request, response: httpx.Response, body: bytearray) -> dict[str, Any]:
    headers = {key: value for key, value in request.headers.items() if key in _KEPT}
    sent: dict[str, Any] = {"method": request.method, "path": request.url.raw_path.decode(), "headers": headers}
    if request.content:
        sent["json"] = json.loads(request.content)
    text = body.decode().replace(str(places.model()), "MODEL")
    got: dict[str, Any] = {"status": response.status_code, "headers": dict(response.headers)}
    if "event-stream" in response.headers.get("content-type", ""):
        got["sse"] = text.split("\n")[:-1]
    elif "json" in response.headers.get("content-type", ""):
        got["body"] = json.loads(text)
    else:
        got["body"] = text
    return {"request": sent, "response": got}
