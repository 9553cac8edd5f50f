"""No server and no router: httpx posting to the upstream, as the naive tool does."""

from __future__ import annotations

import os
from functools import partial

import anyio
import httpx

from benchmarks.drivers.common import answer_questions, cost_of

URL = os.environ["UPSTREAM"] + "/v1/chat/completions"


async def main() -> None:
    """Answer questions."""
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as client:

        async def call(prompt: str) -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
            answer = (await client.post(URL, json=body)).json()
            assert answer["choices"][0]["message"]["content"]

        await answer_questions(partial(cost_of, call))


anyio.run(main)
