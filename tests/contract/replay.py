"""Recorded traffic as an httpx transport: what a real runtime once answered, to the requests that it was for.

A recording is a JSON file with one `request` and `response`, or a list of such under `exchanges`. A
response has its stream as `sse` or `lines`, else its `body`: JSON, or the text itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

RECORDINGS = Path(__file__).parent / "recordings"
_OF_THE_CONNECTION = {"content-length", "transfer-encoding", "connection", "date"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the answer to it."""

    method: str
    path: str
    json: Any
    """The request's body; `None` when it had none."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def answer(self) -> Any:
        """The answer's body as JSON."""
        return json.loads(self.body)


def recording(runtime: str, name: str) -> dict[str, Any]:
    """Return a recording as it was written, for tests that look at more than its exchanges."""
    return dict(json.loads((RECORDINGS / runtime / f"{name}.json").read_text()))


def exchanges(runtime: str, name: str) -> tuple[Exchange, ...]:
    """Return what a recording holds, in order."""
    raw = recording(runtime, name)
    return tuple(_exchange(part["request"], part["response"]) for part in raw.get("exchanges", [raw]))


def _exchange(request: Mapping[str, Any], response: Mapping[str, Any]) -> Exchange:
    headers = response["headers"]
    pairs = headers.items() if isinstance(headers, dict) else headers
    kept = tuple((name, value) for name, value in pairs if name.lower() not in _OF_THE_CONNECTION)
    return Exchange(request["method"], request["path"], request.get("json"), response["status"], kept, _body(response))


def _body(response: Mapping[str, Any]) -> bytes:
    for key in ("sse", "lines"):
        if key in response:
            return "".join(f"{line}\n" for line in response[key]).encode()
    body = response.get("body", "")
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in pieces of one size, so that lines and characters are cut anywhere."""

    def __init__(self, body: bytes, size: int) -> None:
        self._body = body
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]


class Replay(httpx.AsyncBaseTransport):
    """Answers requests with exchanges in their order, and fails on a request that is not the recorded one.

    `keys` names the parts of the JSON body that must be as recorded; `None` means the whole body. `piece`
    is the size in bytes in which answers arrive. Every request stays in `requests`.
    """

    def __init__(self, script: Sequence[Exchange], *, keys: Collection[str] | None = None, piece: int = 65_536) -> None:
        self._script = list(script)
        self._keys = keys
        self._piece = piece
        self.requests: list[httpx.Request] = []

    @property
    def sent(self) -> Any:
        """The JSON body of the latest request."""
        return json.loads(self.requests[-1].content)

    @property
    def left(self) -> list[Exchange]:
        """What nobody asked for yet."""
        return self._script

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer the next exchange's request; any other is an error of the adapter under test."""
        await request.aread()
        self.requests.append(request)
        assert self._script, f"nothing was recorded for {request.method} {request.url.path}"
        exchange = self._script.pop(0)
        path = request.url.raw_path.decode()
        assert (request.method, path) == (exchange.method, exchange.path)
        ours = json.loads(request.content) if request.content else None
        assert self._part(ours) == self._part(exchange.json)
        return httpx.Response(
            exchange.status, headers=list(exchange.headers), stream=Pieces(exchange.body, self._piece)
        )

    def _part(self, body: Any) -> Any:
        if self._keys is None:
            return body
        return {key: body[key] for key in self._keys if key in (body or ())}
