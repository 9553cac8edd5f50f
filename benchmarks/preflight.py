"""What preflight, compilation and checking cost, on real schemas and on hostile ones.

    python -m benchmarks.preflight

Prints a line per group and per schema that costs most; exits 1 when one takes more than a second or 200 MB of
preflight (issue 4). Each hostile schema runs in a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from router_mcp.domain import JsonSchema, RuntimeKind
from router_mcp.errors import OutputInvalidError, SchemaInvalidError
from router_mcp.structured import Compiled, Preparer, check, compile_for, room_of
from tests.unit.structured.hostile import ANSWERS, HOSTILE

SECONDS = 1.0
MEGABYTES = 200.0
TOKENS = 1024
"""The default output limit, which bounded forms are made for."""
KINDS: tuple[RuntimeKind, ...] = ("vllm", "embedded", "ollama")
SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "jsonschemabench-sample.json"


class Cost(NamedTuple):
    """CPU seconds and megabytes for one schema."""

    name: str
    outcome: str
    prepare: float
    compile: float
    check: float
    megabytes: float


def measured(name: str, schema: Any, answers: tuple[str, ...]) -> Cost:
    """What the schema costs in this process."""
    before = _peak()
    begun = time.process_time()
    try:
        ready = Preparer().prepare(JsonSchema(schema))
    except SchemaInvalidError:
        return Cost(name, "refused", time.process_time() - begun, 0.0, 0.0, _peak() - before)
    prepare, memory = time.process_time() - begun, _peak() - before
    compiles = []
    for kind in KINDS:
        for short in (False, True):
            begun = time.process_time()
            compile_for(kind, ready, room=room_of(kind, TOKENS, short=short))
            compiles.append(time.process_time() - begun)
    checks = [0.0]
    for text in answers:
        begun = time.process_time()
        with suppress(OutputInvalidError):
            check(ready, Compiled(ready.constraint), text, "stop")
        checks.append(time.process_time() - begun)
    return Cost(name, "taken", prepare, max(compiles), max(checks), memory)


def _hostile(name: str) -> Cost:
    return measured(name, HOSTILE[name](), ANSWERS)


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _show(title: str, costs: list[Cost]) -> None:
    taken = sum(cost.outcome == "taken" for cost in costs)
    print(f"{title}: {len(costs)} schemas, {taken} taken, {len(costs) - taken} refused by name")
    print(f"  {'the costliest':45} {'outcome':8} {'prepare':>9} {'compile':>9} {'check':>9} {'memory':>9}")
    for cost in sorted(costs, key=lambda cost: -max(cost.prepare, cost.compile, cost.check))[:6]:
        print(
            f"  {cost.name[:45]:45} {cost.outcome:8} {cost.prepare * 1000:6.1f} ms {cost.compile * 1000:6.1f} ms "
            f"{cost.check * 1000:6.1f} ms {cost.megabytes:6.1f} MB"
        )


def main() -> int:
    """Measure, print, judge."""
    rows = json.loads(SAMPLE.read_text())
    real = [measured(row["name"], row["schema"], (json.dumps(row.get("valid_example")),)) for row in rows]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        hostile = pool.map(_hostile, list(HOSTILE), chunksize=1)
    _show("real", real)
    _show("hostile", hostile)
    beyond = [cost for cost in (*real, *hostile) if cost.prepare > SECONDS or cost.megabytes > MEGABYTES]
    for cost in beyond:
        print(f"{cost.name}: over {SECONDS:.0f} s or {MEGABYTES:.0f} MB of preflight")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
