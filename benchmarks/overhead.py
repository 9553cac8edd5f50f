"""What a call costs beyond an empty MCP tool: ours against a naive tool, in paired rounds of one run.

    python -m benchmarks.overhead [--rounds 5] [--calls 400]

Ratios of medians; machines differ and are noisy, so no number here is a promise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from benchmarks.processes import Batch, Subject, measure, subject, upstream

POLICY = """\
version: 1
runtimes:
  stub: {{ kind: vllm, endpoints: ["{url}/instant"], max_concurrency: 512 }}
  spare: {{ kind: vllm, endpoints: ["{url}/delayed"], max_concurrency: 512 }}
models:
  first: {{ runtime: stub, served_name: mixtral-8x7b-instruct, context_window: 131072 }}
  second: {{ runtime: spare, served_name: model-1, context_window: 131072 }}
tasks: {{ reasoning: {{ models: [first, second] }} }}
defaults: {{ task: reasoning }}
"""
CASES = (("1 kB, 1 at once", 1000, 1), ("1 kB, 64 at once", 1000, 64), ("100 kB, 8 at once", 100_000, 8))


async def run(rounds: int, calls: int) -> None:
    """Print a table of all cases."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(upstream())
        folder = stack.enter_context(TemporaryDirectory())
        policy = Path(folder, "policy.yaml")
        policy.write_text(POLICY.format(url=url))
        serve = [sys.executable, "-m", "router_mcp", "serve", "--config", str(policy)]
        naive_env = {"UPSTREAM": f"{url}/instant"}
        servers = [
            await stack.enter_async_context(subject("empty", [sys.executable, "-m", "benchmarks.servers.empty"], {})),
            await stack.enter_async_context(
                subject("naive", [sys.executable, "-m", "benchmarks.servers.naive"], naive_env)
            ),
            await stack.enter_async_context(subject("ours", serve, {})),
        ]
        for name, size, at_once in CASES:
            await _case(name, servers, "word " * (size // 5), at_once=at_once, rounds=rounds, calls=calls)
        print("RSS, MB:", ", ".join(f"{server.name} {server.rss_mb():.0f}" for server in servers))


async def _case(name: str, servers: list[Subject], prompt: str, *, at_once: int, rounds: int, calls: int) -> None:
    found: dict[str, list[Batch]] = {server.name: [] for server in servers}
    for server in servers:
        await measure(server, prompt, calls=50, at_once=at_once)
    for _ in range(rounds):
        for server in servers:
            found[server.name].append(await measure(server, prompt, calls=calls, at_once=at_once))
    cpu = {key: statistics.median(batch.cpu_ms for batch in batches) for key, batches in found.items()}
    rate = {key: statistics.median(batch.calls_per_s for batch in batches) for key, batches in found.items()}
    print(f"\n{name}")
    for key in found:
        print(f"  {key:6} {cpu[key]:6.2f} ms CPU per call, {rate[key]:6.0f} calls/s")
    added = (cpu["ours"] - cpu["empty"]) / (cpu["naive"] - cpu["empty"])
    print(
        f"  added CPU, ours : naive = {added:.2f}; calls/s, ours : naive = {rate['ours'] / rate['naive']:.2f}, ", end=""
    )
    print(f"ours : empty = {rate['ours'] / rate['empty']:.2f}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    options = parser.parse_args()
    anyio.run(run, options.rounds, options.calls)


if __name__ == "__main__":
    main()
