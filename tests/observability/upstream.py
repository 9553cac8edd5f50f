"""A stand-in for vLLM on a real socket: it answers by the model's name, as recordings show that vLLM does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ANSWER = "Clouds are water."
VALID = '{"n": 1}'


class Upstream:
    """What it was asked is in `requests`: the headers and the body of each call."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.pause_s = 0.01
        """Between two words."""
        self.left = anyio.Event()
        self.asked = anyio.Event()
        self._times: dict[str, int] = {}
        self.app = Starlette(
            routes=[
                Route("/healthz", lambda _: Response()),
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": name} for name in ("good", "cut", "wrong-once", "silent")]})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((dict(request.headers), body))
        self.asked.set()
        says: dict[str, Callable[[], AsyncIterator[bytes]]] = {
            "good": lambda: _words(ANSWER, self.pause_s),
            "cut": lambda: _words(ANSWER, self.pause_s, cut=True),
            "wrong-once": lambda: _words(self._first_then("wrong-once", "not json", VALID), self.pause_s),
            "silent": self._silence,
        }
        return StreamingResponse(says[body["model"]](), media_type="text/event-stream")

    def _first_then(self, model: str, first: str, then: str) -> str:
        self._times[model] = self._times.get(model, 0) + 1
        return first if self._times[model] == 1 else then

    async def _silence(self) -> AsyncIterator[bytes]:
        yield _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        try:
            await anyio.sleep_forever()
        finally:
            self.left.set()


async def _words(text: str, pause_s: float, *, cut: bool = False) -> AsyncIterator[bytes]:
    yield _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for number, word in enumerate(text.split(" ")):
        await anyio.sleep(pause_s)
        content = f" {word}" if number else word
        yield _event({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]})
        if cut:
            return
    yield _event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    yield _event({"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> bytes:
    whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **body}
    return f"data: {json.dumps(whole)}\n\n".encode()
