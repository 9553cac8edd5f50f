"""From the start of a process to its first answer to `tools/list`: ours against an empty MCPServer, in paired runs.

    python -m benchmarks.startup [--runs 7]

Some clients start a process for every call, so this time is part of their every call. The client here is this file
itself, so that no client's own imports are measured. The limit is 1.3 times the empty server's median (issue 9).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router_mcp.config import profile_path, shipped

LIMIT = 1.3
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "startup", "version": "0"}}
OPENING = (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)
SERVERS: Mapping[str, Sequence[str]] = {
    "empty": ("-m", "benchmarks.servers.empty"),
    "router": ("-m", "router_mcp", "serve"),
    "router, embedded": ("-m", "router_mcp", "serve", "--config", str(profile_path("embedded"))),
    "embeddings": ("-m", "embeddings_mcp", "serve"),
    "embeddings, embedded": ("-m", "embeddings_mcp", "serve", "--config", str(shipped("embeddings/embedded.yaml"))),
}


@dataclass(frozen=True)
class Start:
    """One start: seconds of the clock until the tools were listed, and of the CPU until the process had ended."""

    wall_s: float
    cpu_s: float


def start(arguments: Sequence[str]) -> Start:
    """Start a server, and return how long it took until it had listed its tools."""
    begun, used = time.perf_counter(), _children_cpu_s()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        cwd=Path(__file__).parents[1],
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(json.dumps(message) + "\n" for message in OPENING))
        process.stdin.flush()
        answers = iter(process.stdout)
        while json.loads(next(answers)).get("id") != 2:
            pass
        wall = time.perf_counter() - begun
        process.stdin.close()
        process.wait()
    return Start(wall, _children_cpu_s() - used)


def _children_cpu_s() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def paired(names: Sequence[str], runs: int) -> dict[str, list[Start]]:
    """Start each of the servers in turn, `runs` times, after one start each that only warms the disk's cache."""
    for name in names:
        start(SERVERS[name])
    found: dict[str, list[Start]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            found[name].append(start(SERVERS[name]))
    return found


def main() -> None:
    """Run from the command line; exit 1 when a server of ours takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    found = paired(list(SERVERS), parser.parse_args().runs)
    empty = statistics.median(each.wall_s for each in found["empty"])
    slow = False
    for name, starts in found.items():
        wall = statistics.median(each.wall_s for each in starts)
        cpu = statistics.median(each.cpu_s for each in starts)
        slow |= wall > LIMIT * empty
        print(f"{name:22} {wall:6.2f} s, CPU {cpu:5.2f} s, {wall / empty:4.2f} times the empty server's")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
