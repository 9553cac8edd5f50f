"""What callers notice of every fault, measured: the table of `make chaos`. Exit 1 when a promise is broken.

Settings are short (`houses`), so that minutes pass in seconds; the last two parts are on those that ship.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

import anyio

from router_mcp.domain import State
from tests.chaos.faults import NOBODYS, Fault
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.houses import HEALTH, TIMEOUTS, House, make_policy, open_house
from tests.chaos.judge import Judge, Measured, ms
from tests.chaos.load import drive
from tests.chaos.promises import (
    all_hung,
    cancelled,
    five_minutes,
    frozen_while_idle,
    hang_under_traffic,
    rush,
    steady_state,
)

CALLS, IN_FLIGHT = 1000, 32
NOWHERE = "http://no-such-host.invalid:8000"
HEAD = (
    f"{'fault':<27}{'errors':>7}{'calls':>7}{'p50':>8}{'p99':>8}{'max':>8}{'wave':>6}{'later':>7}{'most':>6}"
    f"{'demoted':>9}{'reinstated':>12}"
)
NOTE = f"""
p50, p99, max: of calls. wave: failed attempts of those in flight when it struck. later: failed attempts after that;
most: the most of them in one window of the breaker. demoted: after it struck. reinstated: after it was lifted.
Here demote_after is {HEALTH["demote_after"]:g} s, retry_after {HEALTH["retry_after"]:g} s, the deadline \
{TIMEOUTS["interactive"]:g} s.
"""


@dataclass(slots=True)
class Times:
    """Seconds until a state was reached; `None` when it was not."""

    demoted: float | None = None
    reinstated: float | None = None
    stuck: bool = False


async def reached(house: House, state: State, within_s: float) -> float | None:
    try:
        return await house.becomes(state, within_s=within_s)
    except TimeoutError:
        return None


async def strike(house: House, fleet: Fleet, name: str, fault: Fault, times: Times) -> None:
    """Let a fault strike under traffic, wait for its demotion, lift it, and wait for the reinstatement."""
    await house.becomes("healthy", "unhealthy", "unknown")
    await anyio.sleep(0.3)
    await fleet.set(name, fault)
    if fault in NOBODYS or fault is Fault.RESET_ANSWERS:  # nobody's fault; or each probe says that it is well
        await anyio.sleep(3)
    else:
        times.demoted = await reached(house, "demoted", 12)
    if fault is not Fault.DNS:
        ill = house.state() not in {"healthy", "unknown"}
        await fleet.set(name, Fault.OK)
        seconds = await reached(house, "healthy", 20)
        times.reinstated, times.stuck = (seconds if ill else None), seconds is None


async def row(fleet: Fleet, kinds: tuple[str, str], fault: Fault) -> Measured:
    """Return what callers noticed of one fault of the primary."""
    primary, fallback = kinds
    url = NOWHERE if fault is Fault.DNS else fleet.url(primary)
    policy = make_policy(url, fleet.url(fallback), kinds=kinds, health={"canary": 5.0})
    times = Times()
    async with open_house(fleet, policy) as house:

        async def meanwhile() -> None:
            await strike(house, fleet, primary, fault, times)

        outcomes = await drive(house.router, CALLS, in_flight=IN_FLIGHT, meanwhile=meanwhile)
        wave, *later = house.ledger.waves(house.endpoint(), HEALTH["retry_after"])
    most = max(later, default=0)
    return Measured(
        f"{fault.value:<27}{len(outcomes.errors):>7}{outcomes.calls:>7}"
        f"{ms(outcomes.quantile(0.5)):>8}{ms(outcomes.quantile(0.99)):>8}{ms(outcomes.quantile(1)):>8}"
        f"{wave:>6}{len(later):>7}{most:>6}{_s(times.demoted):>9}{_s(times.reinstated):>12}",
        not outcomes.errors and wave <= IN_FLIGHT and most <= 1 and not times.stuck,
    )


async def table(judge: Judge) -> None:
    """Let every fault strike a vLLM before an Ollama, and an Ollama before a vLLM."""
    for kinds in (("vllm", "ollama"), ("ollama", "vllm")):
        judge.say(f"\nprimary {kinds[0]}, fallback {kinds[1]}; {IN_FLIGHT} calls in flight\n{HEAD}")
        for fault in Fault:
            if fault is not Fault.OK:
                await judge.judge(partial(row, judge.fleet, kinds, fault))
    judge.say(NOTE)


PARTS = (table, steady_state, five_minutes, all_hung, rush, cancelled, hang_under_traffic, frozen_while_idle)


async def main(fleet: Fleet, chosen: frozenset[str]) -> int:
    """Run every part, or those that are named."""
    judge = Judge(fleet)
    for part in PARTS:
        if not chosen or part.__name__ in chosen:
            await part(judge)
    judge.say(f"\n{judge.broken} promises broken" if judge.broken else "\nevery promise was kept")
    return 1 if judge.broken else 0


def _s(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"


if __name__ == "__main__":
    with running_fleet(vllm="vllm", vllm2="vllm", ollama="ollama", ollama2="ollama") as running:
        sys.exit(anyio.run(main, running, frozenset(sys.argv[1:])))
