"""A vLLM that answers at once, after a delay, or at a pace: its chunks are shaped as recorded from vLLM 0.32.0.

python -m benchmarks.upstream PORT        paths: /instant, /delayed (20 ms), /paced (50 tokens/s), then /v1/…
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp's server is asyncio's
import sys

import orjson
from aiohttp import web

WORDS = ["The", " capital", " of", " France", " is", " Paris", ".", " It", " lies", " on", " the", " Seine", "."]
DELAYS = {"instant": (0.0, 0.0), "delayed": (0.02, 0.0), "paced": (0.0, 0.02)}
PACED_TOKENS = 100


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


def end(tokens: int) -> bytes:
    """Return what follows the text: the finish reason, the usage and the terminator."""
    usage = {"prompt_tokens": 37, "total_tokens": 37 + tokens, "completion_tokens": tokens}
    last = {"id": "chatcmpl-bd11ce2bd47eb10a", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return chunk({"content": ""}, "stop") + b"data: " + orjson.dumps(last) + b"\n\ndata: [DONE]\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = [chunk({"content": word}) for word in WORDS]
WHOLE = ROLE + b"".join(TEXT) + end(len(WORDS))
STRUCTURED = ROLE + chunk({"content": '{"city": "Paris", "population": 2.1, "tags": ["river"]}'}) + end(18)
ANSWER = {
    "id": "chatcmpl-9963e90030f3b282",
    "object": "chat.completion",
    "model": "mixtral-8x7b-instruct",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 37, "total_tokens": 50, "completion_tokens": 13},
}


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a chat completion, streamed or whole."""
    before, between = DELAYS[request.match_info["mode"]]
    body = orjson.loads(await request.read())
    if before:
        await asyncio.sleep(before)
    if not body.get("stream"):
        return web.json_response(ANSWER)
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    if between:
        await response.write(ROLE)
        for index in range(PACED_TOKENS):
            await asyncio.sleep(between)
            await response.write(TEXT[index % len(TEXT)])
        await response.write(end(PACED_TOKENS))
    else:
        await response.write(STRUCTURED if "structured_outputs" in body else WHOLE)
    return response


async def fine(request: web.Request) -> web.Response:
    """Answer every probe."""
    if request.path.endswith("/v1/models"):
        names = ["mixtral-8x7b-instruct", *(f"model-{n}" for n in range(500))]
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
    return web.json_response({"version": "0.32.0"})


def make_app() -> web.Application:
    """Return the server."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/{mode}/v1/chat/completions", chat)
    app.router.add_get("/{mode}/{rest:.*}", fine)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
