"""Everything that is measured, in one run, as one page.

    python -m benchmarks [--quick] [--only NAME …] [--to benchmarks/RESULTS.md]

`--quick` runs the main parts with a quarter of the calls, in a few minutes; a full run takes some twenty. `--to` writes
the page, too. Exits 1 when a claim does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import anyio

from benchmarks import affinity, calls, simulation, streams, watching
from benchmarks.processes import upstream
from benchmarks.results import Section, page
from benchmarks.rounds import FULL, QUICK, Scale

Part: TypeAlias = Callable[[Scale, str, str], Awaitable[Section | str]]
"""Told how much to measure, the upstream's URL and a folder; returns a section, or what was not run and why."""
PARTS: dict[str, Part] = {
    "stdio": calls.stdio,
    "http": calls.http,
    "delayed": calls.delayed,
    "peers": calls.peers,
    "structured": calls.structured,
    "models": calls.models,
    "streams": streams.paced,
    "progress": streams.progress,
    "telemetry": watching.telemetry,
    "memory": calls.memory,
    "startup": watching.startup,
    "affinity": affinity.section,
    "simulation": simulation.section,
}
IN_QUICK = ("stdio", "streams", "memory", "startup", "affinity", "simulation")


async def run(scale: Scale, names: list[str]) -> tuple[list[Section], list[str]]:
    """Return the sections, and what was not run."""
    sections: list[Section] = []
    skipped: list[str] = []
    with upstream() as url, TemporaryDirectory() as folder:
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            found = await PARTS[name](scale, url, folder)
            if isinstance(found, Section):
                sections.append(found)
            else:
                skipped.append(found)
    return sections, skipped


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    names = options.only or [name for name in PARTS if not options.quick or name in IN_QUICK]
    sections, skipped = anyio.run(run, QUICK if options.quick else FULL, names)
    how = "make bench" if options.to else " ".join(["python -m benchmarks", *sys.argv[1:]])
    text = page(sections, how=how, skipped=skipped)
    print(text)
    if options.to:
        options.to.write_text(text)
    sys.exit(0 if all(claim.holds for section in sections for claim in section.claims) else 1)


if __name__ == "__main__":
    main()
