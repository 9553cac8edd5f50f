"""A vLLM that answers at once, after a delay, or at a pace: its chunks are shaped as recorded from vLLM 0.32.0.

python -m benchmarks.upstream PORT        paths: /instant, /delayed (20 ms), /paced (50 tokens/s), then /v1/…

`/cached/NAME` is a replica with a prefix cache: it is empty when the name is first heard, and a prompt takes as long as
the part of it that is not there. A replica reads one prompt at a time, since that is what keeps its processor busy.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp's server is asyncio's
import sys
from collections import defaultdict
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from benchmarks.prefix_cache import BLOCK, PrefixCache

WORDS = ["The", " capital", " of", " France", " is", " Paris", ".", " It", " lies", " on", " the", " Seine", "."]
DELAYS = {"instant": (0.0, 0.0), "delayed": (0.02, 0.0), "paced": (0.0, 0.02)}
PACED_TOKENS = 200
"""Enough for a 99th percentile of one stream's gaps that is not merely its worst."""
CACHED_TOKENS = 10_000
"""Of a word each, that a replica with a cache remembers."""
READ_S = 0.00005
"""That a replica takes to read a token which it does not remember."""


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """Return one event of a chat stream, with the fields that vLLM sends."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
    event = {
        "id": "chatcmpl-bd11ce2bd47eb10a",
        "object": "chat.completion.chunk",
        "created": 1795423024,
        "model": "mixtral-8x7b-instruct",
        "choices": [choice],
    }
    return b"data: " + orjson.dumps(event) + b"\n\n"


def end(tokens: int, prompt: int = 37) -> bytes:
    """Return what follows the text: the finish reason, the usage and the terminator."""
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + tokens, "completion_tokens": tokens}
    last = {"id": "chatcmpl-bd11ce2bd47eb10a", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return chunk({"content": ""}, "stop") + b"data: " + orjson.dumps(last) + b"\n\ndata: [DONE]\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = [chunk({"content": word}) for word in WORDS]
WHOLE = ROLE + b"".join(TEXT) + end(len(WORDS))
DATA = '{"city": "Paris", "population": 2.1, "tags": ["river"]}'
STRUCTURED = ROLE + chunk({"content": DATA}) + end(18)


def answer(text: str) -> dict[str, object]:
    """Return a whole completion."""
    return {
        "id": "chatcmpl-9963e90030f3b282",
        "object": "chat.completion",
        "model": "mixtral-8x7b-instruct",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 37, "total_tokens": 50, "completion_tokens": 13},
    }


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a chat completion, streamed or whole."""
    before, between = DELAYS[request.match_info["mode"]]
    body = orjson.loads(await request.read())
    if before:
        await asyncio.sleep(before)
    if not body.get("stream"):
        return web.json_response(answer(DATA if "structured_outputs" in body else "".join(WORDS)))
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    if between:
        with suppress(ConnectionResetError):  # a caller that goes away is none of our business
            await _pace(response, between)
    else:
        await response.write(STRUCTURED if "structured_outputs" in body else WHOLE)
    return response


async def _pace(response: web.StreamResponse, between: float) -> None:
    await response.write(ROLE)
    for index in range(PACED_TOKENS):
        await asyncio.sleep(between)
        await response.write(TEXT[index % len(TEXT)])
    await response.write(end(PACED_TOKENS))


class Replica:
    """A replica that remembers what it has read."""

    def __init__(self) -> None:
        self.cache = PrefixCache(CACHED_TOKENS // BLOCK)
        self._reading = asyncio.Lock()

    async def read(self, messages: list[dict[str, Any]]) -> int:
        """Take as long as a prompt takes to read, and return how many tokens it has."""
        tokens = [word for message in messages for word in (message["role"], *message["content"].split())]
        async with self._reading:
            await asyncio.sleep(READ_S * (len(tokens) - self.cache.read(tokens)))
        return len(tokens)


REPLICAS = web.AppKey("replicas", defaultdict[str, Replica])


async def remembering(request: web.Request) -> web.StreamResponse:
    """Answer a chat completion, streamed, once its prompt is read."""
    body = orjson.loads(await request.read())
    tokens = await request.app[REPLICAS][request.match_info["name"]].read(body["messages"])
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    await response.write(ROLE + b"".join(TEXT) + end(len(WORDS), tokens))
    return response


async def counters(request: web.Request) -> web.Response:
    """Tell what a replica's cache has done."""
    return web.Response(text=request.app[REPLICAS][request.match_info["name"]].cache.metrics())


async def fine(request: web.Request) -> web.Response:
    """Answer every probe."""
    if request.path.endswith("/v1/models"):
        names = ["mixtral-8x7b-instruct", *(f"model-{n}" for n in range(500))]
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
    return web.json_response({"version": "0.32.0"})


def make_app() -> web.Application:
    """Return the server."""
    app = web.Application(client_max_size=64 * 2**20)
    app[REPLICAS] = defaultdict(Replica)
    app.router.add_post("/cached/{name}/v1/chat/completions", remembering)
    app.router.add_get("/cached/{name}/metrics", counters)
    app.router.add_post("/{mode}/v1/chat/completions", chat)
    app.router.add_get("/{mode}/{rest:.*}", fine)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
