"""What watching costs: CPU per call of the router with everything on, as it ships, and with nothing that listens.

    python -m benchmarks.telemetry [--rounds 7] [--calls 400] [--json]

`unwatched` has no listener at all; `off` is `LLM_TRACE_EXPORTER=none`, which still counts for Prometheus, remembers
and logs a line a call; `on` sends every span and the client metrics to a collector by OTLP. The work of the export
thread is in it. Paired rounds in one run, medians of ratios; issue 6 allows `on` 10 % more than `unwatched`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from benchmarks.overhead import POLICY
from benchmarks.processes import Subject, _wait_for, free_port, measure, subject, upstream

AT_ONCE = 16
PROMPT = "word " * 200


@contextmanager
def collector() -> Generator[str]:
    """Run the collector and yield its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.servers.otlp", str(port)]) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def run(rounds: int, calls: int) -> dict[str, float]:
    """Return the milliseconds of CPU per call of each, and the median ratios to `unwatched`."""
    async with AsyncExitStack() as stack:
        url, otlp = stack.enter_context(upstream()), stack.enter_context(collector())
        policy = Path(stack.enter_context(TemporaryDirectory()), "policy.yaml")
        policy.write_text(POLICY.format(url=url))
        serve = [sys.executable, "-m", "router_mcp", "serve", "--config", str(policy), "--log-format", "json"]
        bare = [sys.executable, "-m", "benchmarks.servers.unwatched", str(policy)]
        on = {"LLM_TRACE_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
        subjects = [
            await stack.enter_async_context(subject(name, command, env))
            for name, command, env in (
                ("unwatched", bare, {}),
                ("off", serve, {"LLM_TRACE_EXPORTER": "none"}),
                ("on", serve, on),
            )
        ]
        return await _compare(subjects, rounds, calls)


async def _compare(subjects: list[Subject], rounds: int, calls: int) -> dict[str, float]:
    cost: dict[str, list[float]] = {each.name: [] for each in subjects}
    for each in subjects:
        await measure(each, PROMPT, calls=100, at_once=AT_ONCE)
    for number in range(rounds):
        for each in subjects if number % 2 else reversed(subjects):
            batch = await measure(each, PROMPT, calls=calls, at_once=AT_ONCE)
            cost[each.name].append(batch.cpu_ms)
    base = cost["unwatched"]
    ratios = {
        f"{name} : unwatched": statistics.median(a / b for a, b in zip(cost[name], base, strict=True))
        for name in ("off", "on")
    }
    return {f"{name}, ms": statistics.median(found) for name, found in cost.items()} | ratios


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = anyio.run(run, options.rounds, options.calls)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {value:6.2f}")


if __name__ == "__main__":
    main()
