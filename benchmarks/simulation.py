"""A thousand endpoints and a million calls in virtual time: what decisions cost, and how a lost zone is survived.

    python -m benchmarks.simulation [--endpoints 1000] [--calls 1000000]

What is simulated, and with which of the router's parts, says `benchmarks.virtual`.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.processes import quantile
from benchmarks.results import Claim, Section, page, shown
from benchmarks.rounds import Scale
from benchmarks.virtual import Outcome, Simulation

SIZES = (10, 100, 1000, 10_000)
"""Endpoints of the runs that show how the cost of a decision grows."""
GROWTH_CALLS = 40_000
ENOUGH = 100
"""Calls of an endpoint from which on its load says something of the choice, and not of chance."""


def report(endpoints: int, calls: int) -> Section:
    """Run and tell; the claims are of the largest run."""
    header = (
        "endpoints",
        "calls",
        "CPU per decision, µs",
        "p99, µs",
        "busiest : average",
        "at home",
        "s of this machine",
    )
    about = (
        "A decision is everything between a call's arrival and its request: the plan, the ring, a slot, the trials. "
        "`at home`: calls that reached the replica to which their prompt belongs. Garbage is not collected meanwhile: "
        "decisions make none, and it would take longer the more calls are in flight, which are tens of thousands here."
    )
    section = Section("Scale, simulated", about, header)
    costs: dict[int, float] = {}
    rows: dict[int, tuple[str, ...]] = {}
    for size in (*(size for size in SIZES if size != endpoints), endpoints):
        out = Simulation(size, calls if size == endpoints else GROWTH_CALLS).run()
        costs[size], rows[size] = statistics.fmean(out.decisions_us), _row(size, out)
    section.rows += [rows[size] for size in sorted(rows)]
    section.claims += [
        Claim(f"CPU of a decision among {endpoints} endpoints", costs[endpoints], most=50.0, unit=" µs"),
        Claim("CPU of a decision, 10,000 endpoints : 10", costs[SIZES[-1]] / costs[SIZES[0]], most=4.0),
        Claim(f"{calls} simulated calls", out.wall_s, most=300.0, unit=" s"),
        Claim("calls refused, a lost zone included", float(out.refused.total()), most=0.0),
    ]
    section.about += _story(out)
    return section


def _row(endpoints: int, out: Outcome) -> tuple[str, ...]:
    cost, p99 = statistics.fmean(out.decisions_us), quantile(out.decisions_us, 0.99)
    average = statistics.fmean(out.per_endpoint.values())
    busiest = shown(max(out.per_endpoint.values()) / average) if average >= ENOUGH else "-"
    home = out.at_home / out.per_endpoint.total()
    return (
        f"{endpoints:,}",
        f"{out.calls.total():,}",
        *map(shown, (cost, p99)),
        busiest,
        f"{home:.0%}",
        shown(out.wall_s),
    )


def _story(out: Outcome) -> str:
    attempts = ", ".join(
        f"{shown(out.amplification(phase))} {phase}" for phase in ("before", "struck", "during", "after")
    )
    return (
        f" In the last run a third of the primary's endpoints is lost for a while. Attempts per call: {attempts} "
        f"(struck: its first second). {out.served['small']:,} of {out.served.total():,} calls were served by the "
        f"fallback, {out.refused.total():,} refused."
    )


async def section(scale: Scale, _url: str, _folder: str) -> Section:
    """Return it as a part of the page."""
    return report(1000, 100_000 if scale.quick else 1_000_000)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    print(page([report(options.endpoints, options.calls)], how="python -m benchmarks.simulation", skipped=[]))


if __name__ == "__main__":
    main()
