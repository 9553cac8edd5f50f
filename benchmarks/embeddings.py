"""The embeddings server on the embedded model: against its library, by many small callers, and through MCP.

    python -m benchmarks.embeddings [--rounds 5] [--texts 2048] [--words 200]

Exits 1 when order, equality or the ratio of issue 5 (0.8 of the library's throughput) does not hold. Rounds are
paired and ratios are of medians; machines differ and are noisy, so no other number here is a promise.
"""

from __future__ import annotations

import argparse
import importlib
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from embeddings_mcp import EmbedRequest, embedded_path, load_config, open_embedder
from embeddings_mcp.embedder import Embedder

CONFIG = load_config(embedded_path(), {})
BATCH = CONFIG.models["wordllama"].batch_size
LEAST_RATIO = 0.8
SMALL = 64
"""Callers with one short text each."""


def texts(count: int, words: int) -> tuple[str, ...]:
    """Return different texts, the same every time."""
    dice = random.Random(7)
    vocabulary = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 10))) for _ in range(5000)]
    return tuple(" ".join(dice.choices(vocabulary, k=words)) for _ in range(count))


def library() -> Any:
    """Load the library as the backend does."""
    package: Any = importlib.import_module("wordllama")
    return package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)


def directly(model: Any, given: tuple[str, ...]) -> Any:
    """Call the library in a loop of the backend's batch size."""
    parts = [
        model.embed(list(given[start : start + BATCH]), norm=True, batch_size=BATCH)
        for start in range(0, len(given), BATCH)
    ]
    return np.concatenate(parts)


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """Return how long it took, and what came of it."""
    begun = time.perf_counter()
    result = await work()
    return time.perf_counter() - begun, result


async def large_call(embedder: Embedder, given: tuple[str, ...], rounds: int) -> bool:
    """Compare one large call with the library, and check every vector."""
    model = library()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        expected = directly(model, given)
        theirs.append(time.perf_counter() - begun)
        seconds, result = await timed(lambda: embedder.embed(EmbedRequest(texts=given)))
        ours.append(seconds)
    ratio = statistics.median(theirs) / statistics.median(ours)
    farthest = float(np.abs(result.vectors - expected).max())
    alone = [await embedder.embed(EmbedRequest(texts=(text,))) for text in given[::16]]
    apart = max(float(np.abs(result.vectors[16 * n] - one.vectors[0]).max()) for n, one in enumerate(alone))
    ordered = bool(np.array_equal((result.vectors @ expected.T).argmax(axis=1), np.arange(len(given))))
    print(f"{len(given)} texts in one call, batches of {BATCH}")
    print(f"  library {statistics.median(theirs):.3f} s, ours {statistics.median(ours):.3f} s: {ratio:.2f} × its speed")
    print(f"  order exact: {ordered}; from the library {farthest:.1e}, from one by one {apart:.1e}")
    return ordered and farthest <= 1e-6 and apart <= 1e-6 and ratio >= LEAST_RATIO


async def small_calls(embedder: Embedder, rounds: int) -> None:
    """Measure what callers with one text each could gain from sharing batches."""
    given = texts(SMALL, 12)

    async def each_alone() -> None:
        async with anyio.create_task_group() as group:
            for text in given:
                group.start_soon(embedder.embed, EmbedRequest(texts=(text,)))

    apart = [(await timed(each_alone))[0] for _ in range(rounds)]
    shared = [(await timed(lambda: embedder.embed(EmbedRequest(texts=given))))[0] for _ in range(rounds)]
    alone = [(await timed(lambda: embedder.embed(EmbedRequest(texts=given[:1]))))[0] for _ in range(rounds)]
    print(f"{SMALL} callers with one short text each, at once")
    print(
        f"  apart {1000 * statistics.median(apart):.1f} ms, one shared batch {1000 * statistics.median(shared):.1f} ms"
    )
    print(f"  a lone caller {1000 * statistics.median(alone):.2f} ms, to which a window of 2 ms would add 2 ms")


async def through_mcp(given: tuple[str, ...]) -> None:
    """Measure a large call over stdio, as numbers and as base64."""
    from mcp import Client, StdioServerParameters  # noqa: PLC0415 - the rest needs no mcp

    arguments = ["-m", "embeddings_mcp", "serve", "--config", str(embedded_path())]
    async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
        await client.call_tool("embed_texts", {"texts": ["warm up"]})
        print(f"{len(given)} texts through MCP over stdio")
        for encoding in ("float", "base64"):
            call = {"texts": list(given), "encoding": encoding}
            seconds, result = await timed(lambda call=call: client.call_tool("embed_texts", call))  # type: ignore[misc] # early binding
            assert not result.is_error
            print(f"  {encoding}: {seconds:.2f} s")


def memory(given: int, words: int) -> None:
    """Print the peak memory of a process that makes one large call, and of one that uses the library."""
    print("peak memory of a process of its own")
    for how in ("nothing", "library", "ours"):
        command = [sys.executable, "-m", "benchmarks.embeddings", "--texts", str(given), "--words", str(words)]
        done = subprocess.run([*command, "--peak", how], capture_output=True, text=True, check=True)
        print(f"  {how}: {done.stdout.strip()} MB")


async def peak(how: str, given: tuple[str, ...]) -> None:
    """Do one thing and print this process's peak memory in MB."""
    async with open_embedder(CONFIG) as embedder:
        model = library()
        await embedder.embed(EmbedRequest(texts=("warm up",)))
        if how == "ours":
            await embedder.embed(EmbedRequest(texts=given))
        elif how == "library":
            directly(model, given)
    print(peak_mb())


def peak_mb() -> int:
    """Return the peak memory of this process; on Linux `getrusage` counts that of its parent, too."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


async def run(rounds: int, given: tuple[str, ...]) -> bool:
    """Print everything; return whether what issue 5 asks for holds."""
    async with open_embedder(CONFIG) as embedder:
        await embedder.embed(EmbedRequest(texts=("warm up",)))
        good = await large_call(embedder, given, rounds)
        await small_calls(embedder, rounds * 4)
    await through_mcp(given)
    return good


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--peak", choices=("nothing", "library", "ours"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    given = texts(asked.texts, asked.words)
    if asked.peak:
        anyio.run(peak, asked.peak, given)
        return
    good = anyio.run(run, asked.rounds, given)
    memory(asked.texts, asked.words)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
