"""Answers for embeddings backends, recorded and made up, and a transport that gives them in turn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.replay import Exchange, exchanges

OLLAMA = "ollama-0.32.15"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and the error that breaks it off or (with status 0) comes in its place."""

    status: int
    body: bytes = b""
    error: Exception | None = None


def load(name: str) -> Exchange:
    """Return a recorded exchange with Ollama."""
    (exchange,) = exchanges(OLLAMA, name)
    return exchange


def recorded(name: str) -> Answer:
    """Return the answer of a recorded exchange."""
    exchange = load(name)
    return Answer(exchange.status, exchange.body)


def said(status: int, body: Any) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(body).encode())


def refused(error: Exception) -> Answer:
    """Return an answer that never comes."""
    return Answer(0, error=error)


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._answer.body
        if self._answer.error:
            raise self._answer.error


@dataclass
class Server(httpx.AsyncBaseTransport):
    """Gives its answers in turn, the last one for ever, and keeps what it was sent."""

    answers: list[Answer]
    requests: list[httpx.Request] = field(default_factory=list)
    closed: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.error and not answer.status:
            raise answer.error
        return httpx.Response(answer.status, stream=_Body(answer), request=request)

    async def aclose(self) -> None:
        self.closed += 1

    def sent(self, index: int = -1) -> Any:
        """Return the JSON that we sent."""
        return json.loads(self.requests[index].content)

    @property
    def paths(self) -> list[str]:
        """List what was asked, such as `GET /v1/models`."""
        return [f"{request.method} {request.url.path}" for request in self.requests]
