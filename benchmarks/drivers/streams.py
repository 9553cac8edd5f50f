"""Paced streams, read by the router's core or by a plain aiohttp reader: what a token costs, and how late it comes.

READER=ours is the library that the server stands on (`open_router`); READER=plain is what one would write first.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import anyio

from benchmarks.drivers.common import answer_questions
from router_mcp import Attention, GenerateRequest, load_config, open_router

Read = Callable[[Callable[[str], None]], Awaitable[None]]
"""Reads one stream to its end, telling each token."""


async def streams(read: Read, *, count: int) -> dict[str, Any]:
    """Read so many streams at once; return CPU per token, and the worst stream's p99 of gaps between tokens."""
    gaps: list[list[float]] = []

    async def one() -> None:
        times: list[float] = []
        await read(lambda _: times.append(time.perf_counter()))
        gaps.append(sorted(later - sooner for sooner, later in pairwise(times)))

    cpu = time.process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    cpu = time.process_time() - cpu
    tokens = sum(len(each) + 1 for each in gaps)
    return {
        "cpu_us": 1e6 * cpu / tokens,
        "gap_ms": 1000 * max(each[int(len(each) * 0.99)] for each in gaps),
        "tokens": tokens,
    }


async def plain(stack: AsyncExitStack, url: str) -> Read:
    """Return a reader that is nothing but aiohttp and json."""
    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    async def read(heard: Callable[[str], None]) -> None:
        async with session.post(f"{url}/paced/v1/chat/completions", json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    event = json.loads(line[6:])
                    if event["choices"] and (text := event["choices"][0]["delta"].get("content")):
                        heard(text)

    return read


async def ours(stack: AsyncExitStack, _: str) -> Read:
    """Return a reader that goes through the router."""
    router = await stack.enter_async_context(open_router(load_config(os.environ["POLICY"])))

    async def read(heard: Callable[[str], None]) -> None:
        await router.generate(GenerateRequest(prompt="hi", task="paced"), Attention(on_text=heard))

    return read


async def main() -> None:
    """Answer questions."""
    async with AsyncExitStack() as stack:
        make = ours if os.environ["READER"] == "ours" else plain
        read = await make(stack, os.environ["UPSTREAM"])
        gc.freeze()  # as the server does
        await answer_questions(partial(streams, read))


anyio.run(main)
