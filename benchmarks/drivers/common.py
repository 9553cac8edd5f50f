"""What every driver does: read a question per line, make calls, answer with what they cost.

Drivers run in Pythons of their own, some without this project, so only the standard library and anyio are used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

Call = Callable[[str], Awaitable[None]]


async def answer_questions(answer: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    """Answer until stdin ends."""
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        sys.stdout.write(json.dumps(await answer(**json.loads(line))) + "\n")
        sys.stdout.flush()


async def cost_of(call: Call, *, size: int, calls: int, at_once: int) -> dict[str, Any]:
    """Make `calls` calls, `at_once` in flight, and return the fields of a `Batch`."""
    left, prompt = iter(range(calls)), "word " * (size // 5)
    waits: list[float] = []

    async def worker() -> None:
        for _ in left:
            begun = time.perf_counter()
            await call(prompt)
            waits.append(time.perf_counter() - begun)

    cpu, wall = time.process_time(), time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(min(at_once, calls)):
            tasks.start_soon(worker)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    waits.sort()
    return {
        "cpu_ms": 1000 * cpu / calls,
        "calls_per_s": calls / wall,
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p99_ms": 1000 * waits[min(len(waits) - 1, int(len(waits) * 0.99))],
    }
