"""What watching costs: CPU per call of the router with nothing that listens, as it ships, and with traces sent by OTLP.

    python -m benchmarks.telemetry [--rounds 21] [--calls 300] [--json]

`unwatched` has no listener at all, `twin` is a second process of the same: what those two differ by is the noise of the
run. `off` is `LLM_TRACE_EXPORTER=none`, which still counts for Prometheus, remembers, and logs a JSON line a call.
`on` sends every span and the GenAI client metrics to a collector by OTLP as well, `sampled` one trace in ten. `empty`
is an MCP server whose tool does nothing.

Each reading is the median of paired rounds, with new processes every few, of the CPU of the whole process: what the
export's thread does until everything has arrived is in it, for which `SETTLE_S` is measured along, in every server. Two
shares are told: of all that an unwatched router spends on a call, and of what it spends more than `empty`, which is
what routing adds. A share that is not beyond `noise` is not measurable. `bare SDK` is the least that OpenTelemetry's
SDK takes for the same spans and values (benchmarks/bare_sdk.py).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import anyio

from benchmarks.bare_sdk import floor_ms
from benchmarks.policies import written
from benchmarks.processes import ROOT, Subject, free_port, measure, subject, upstream, wait_for

AT_ONCE = 16
PROMPT = "word " * 200
SETTLE_S = 0.8
"""Log lines and counts follow after a quarter of a second, spans after `OTEL_BSP_SCHEDULE_DELAY`, set to 0.4 here."""
QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "8192", "OTEL_BSP_SCHEDULE_DELAY": "400"}
"""Room enough for no span to be lost: what is lost costs nothing."""
SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
WATCHED = ("twin", "off", "sampled", "on")
ROUNDS_A_START, FEWEST_STARTS = 3, 3
"""Rounds after which all servers are started anew: where a process happens to lie in memory makes percents."""
Server: TypeAlias = tuple[str, Sequence[str], Mapping[str, str]]
"""Name, command and environment."""


@contextmanager
def collector() -> Generator[str]:
    """Run the collector and yield its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.servers.otlp", str(port)], cwd=ROOT) as process:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def run(rounds: int, calls: int) -> dict[str, float]:
    """Return milliseconds of CPU per call (`NAME, ms`), ratios (`NAME : unwatched`) and the shares (`NAME, % of …`)."""
    starts = max(FEWEST_STARTS, -(-rounds // ROUNDS_A_START))
    with upstream() as url, collector() as otlp, TemporaryDirectory() as folder:
        servers = _servers(written(folder, url), otlp)
        cost = [await _one_start(servers, calls) for _ in range(starts)]
    return Found(cost, floor_ms()).readings()


async def _one_start(servers: Sequence[Server], calls: int) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        return await _compare([await stack.enter_async_context(subject(*each)) for each in servers], calls)


def _servers(policy: Path, otlp: str) -> list[Server]:
    module = [sys.executable, "-m"]
    serve = [*module, "router_mcp", "serve", "--config", str(policy), "--log-format", "json"]
    bare = [*module, "benchmarks.servers.unwatched", str(policy)]
    on = {"LLM_TRACE_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp, **QUEUE}
    return [
        ("empty", [*module, "benchmarks.servers.empty"], {}),
        ("unwatched", bare, {}),
        ("twin", bare, {}),
        ("off", serve, {"LLM_TRACE_EXPORTER": "none"}),
        ("sampled", serve, on | SAMPLED),
        ("on", serve, on),
    ]


async def _compare(servers: Sequence[Subject], calls: int) -> dict[str, list[float]]:
    """Return the CPU per call of each server in each round, in milliseconds."""
    cost: dict[str, list[float]] = {each.name: [] for each in servers}
    for each in servers:
        await measure(each, PROMPT, calls=calls, at_once=AT_ONCE)
    await anyio.sleep(SETTLE_S)
    for _ in range(ROUNDS_A_START):
        for each in random.sample(servers, len(servers)):
            before = each.cpu_s()
            await measure(each, PROMPT, calls=calls, at_once=AT_ONCE)
            await anyio.sleep(SETTLE_S)
            cost[each.name].append(1000 * (each.cpu_s() - before) / calls)
    return cost


@dataclass(frozen=True)
class Found:
    """What the rounds found after each start, and what the bare SDK takes; all in milliseconds a call."""

    cost: Sequence[Mapping[str, Sequence[float]]]
    floor: float

    def readings(self) -> dict[str, float]:
        """Return everything by its name."""
        found = {f"{name}, ms": statistics.median(self._all(name)) for name in self.cost[0]}
        found["bare SDK, ms"] = self.floor
        routing = found["unwatched, ms"] - found["empty, ms"]
        shares = {name: statistics.median(self._more(name)) for name in WATCHED}
        shares["bare SDK"] = self.floor / found["unwatched, ms"]
        found |= {f"{name} : unwatched": 1 + shares[name] for name in WATCHED}
        for name, share in [*shares.items(), ("noise", self._noise())]:
            found[f"{name}, % of the whole"] = 100 * share
            found[f"{name}, % of what routing adds"] = 100 * share * found["unwatched, ms"] / routing
        return found

    def _all(self, name: str) -> list[float]:
        return [each for start in self.cost for each in start[name]]

    def _more(self, name: str) -> list[float]:
        """Return by how much more each round of a server took than one of the unwatched router."""
        return [one / base - 1 for one, base in zip(self._all(name), self._all("unwatched"), strict=True)]

    def _noise(self) -> float:
        """Return how far a reading may be off: twice the error of the mean of the starts, as the twins tell."""
        starts = [
            statistics.median(one / base - 1 for one, base in zip(start["twin"], start["unwatched"], strict=True))
            for start in self.cost
        ]
        return 2 * math.sqrt(statistics.fmean(each**2 for each in starts) / len(starts))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = anyio.run(run, options.rounds, options.calls)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:36} {value:8.3f}")


if __name__ == "__main__":
    main()
