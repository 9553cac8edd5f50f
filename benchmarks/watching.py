"""Two more benchmarks as parts of the page: what telemetry costs, and how long a start takes."""

from __future__ import annotations

import statistics

import anyio

from benchmarks import startup as starts
from benchmarks import telemetry as watched
from benchmarks.results import Claim, Section, median_ratio, shown
from benchmarks.rounds import Scale


async def telemetry(scale: Scale, _url: str, _folder: str) -> Section:
    """Return CPU per call with nothing that listens, as it ships, and with traces sent by OTLP."""
    found = await watched.run(scale.rounds, scale.calls(300))
    header = ("telemetry", "CPU per call, ms", "ratio")
    about = "None at all; as it ships (metrics, history, a log line a call); and with every span sent by OTLP."
    section = Section("Telemetry", about, header)
    for name, label in (("unwatched", "none"), ("off", "as it ships"), ("on", "OTLP")):
        ratio = found.get(f"{name} : unwatched", 1.0)
        section.rows.append((label, shown(found[f"{name}, ms"]), shown(ratio)))
    return section


async def startup(scale: Scale, _url: str, _folder: str) -> Section:
    """Return how long servers take from their start to the first list of tools."""
    names = [name for name in starts.SERVERS if not scale.quick or name in {"empty", "router"}]
    found = await anyio.to_thread.run_sync(starts.paired, names, scale.rounds)
    header = ("server", "s", "CPU, s", "CPU : empty")
    section = Section("Start-up", "From the start of a process to its first answer to `tools/list`.", header)
    empty = [each.cpu_s for each in found["empty"]]
    for name, each in found.items():
        ratio = median_ratio((start.cpu_s for start in each), empty)
        cells = (statistics.median(s.wall_s for s in each), statistics.median(s.cpu_s for s in each), ratio)
        section.rows.append((name, *map(shown, cells)))
        if name == "router":
            section.claims.append(Claim("CPU from start to the first list of tools, ours : empty", ratio, most=1.3))
    return section
