"""What callers notice of every fault, measured: the table of `make chaos`. Exit 1 when a promise is broken.

Settings are short (`houses`), so that minutes pass in seconds; the second part is on those that ship.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import anyio
from mcp import Client

from tests.chaos import served
from tests.chaos.faults import NOBODYS, Fault
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.houses import HEALTH, TIMEOUTS, House, make_policy, open_house
from tests.chaos.load import ASK, Outcomes, call, drive

CALLS, IN_FLIGHT = 1000, 32
NOWHERE = "http://no-such-host.invalid:8000"
SHIPPED_TIMEOUTS = {"interactive": 30.0, "connect": 2.0, "inter_token": 8.0}
SHIPPED_HEALTH = {
    "interval": 10.0,
    "timeout": 2.0,
    "demote_after": 300.0,
    "retry_after": 5.0,
    "canary": 45.0,
}
HEAD = (
    f"{'fault':<27}{'errors':>7}{'calls':>7}{'p50':>8}{'p99':>8}{'max':>8}{'wave':>6}{'later':>7}{'most':>6}"
    f"{'demoted':>9}{'reinstated':>12}"
)


@dataclass(slots=True)
class Verdict:
    """Prints, and remembers what was promised and not kept."""

    broken: int = 0

    def say(self, line: str, *, kept: bool = True) -> None:
        self.broken += not kept
        sys.stdout.write(f"{line}{'' if kept else '   ← BROKEN'}\n")
        sys.stdout.flush()


@dataclass(slots=True)
class Times:
    """Seconds until a state was reached; `None` when it was not."""

    demoted: float | None = None
    reinstated: float | None = None
    stuck: bool = False


async def reached(house: House, state: str, within_s: float) -> float | None:
    try:
        return await house.becomes(state, within_s=within_s)  # type: ignore[arg-type] # one of the states
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


async def row(verdict: Verdict, fleet: Fleet, kinds: tuple[str, str], fault: Fault) -> None:
    primary, fallback = kinds
    await fleet.restore()
    url = NOWHERE if fault is Fault.DNS else fleet.url(primary)
    policy = make_policy(url, fleet.url(fallback), kinds=kinds, health={"canary": 5.0})
    times = Times()
    async with open_house(fleet, policy) as house:

        async def meanwhile() -> None:
            await strike(house, fleet, primary, fault, times)

        outcomes = await drive(house.router, CALLS, in_flight=IN_FLIGHT, meanwhile=meanwhile)
        wave, *later = house.ledger.waves(house.endpoint(), HEALTH["retry_after"])
    kept = not outcomes.errors and wave <= IN_FLIGHT and max(later, default=0) <= 1
    kept &= not times.stuck
    verdict.say(
        f"{fault.value:<27}{len(outcomes.errors):>7}{outcomes.calls:>7}"
        f"{_ms(outcomes.quantile(0.5)):>8}{_ms(outcomes.quantile(0.99)):>8}{_ms(outcomes.quantile(1)):>8}"
        f"{wave:>6}{len(later):>7}{max(later, default=0):>6}{_s(times.demoted):>9}{_s(times.reinstated):>12}",
        kept=kept,
    )


async def steady_state(verdict: Verdict, fleet: Fleet) -> None:
    """Compare one call after another, on runtimes of one kind, with a primary that is well and one that is dead."""
    medians = []
    for dead in (False, True):
        await fleet.restore()
        policy = make_policy(fleet.url("ollama2"), fleet.url("ollama"), kinds=("ollama", "ollama"))
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            if dead:
                await fleet.set("ollama2", Fault.REFUSE)
                await house.becomes("unhealthy")
            medians.append((await drive(house.router, 200, in_flight=1)).quantile(0.5))
    well, ill = medians
    verdict.say(
        f"steady state: a call takes {_ms(well)} with a primary that is well and {_ms(ill)} with a dead one, "
        f"{(ill - well) * 1000:+.1f} ms (promised: at most +5)",
        kept=ill - well <= 0.005,
    )


async def all_hung(verdict: Verdict, fleet: Fleet) -> None:
    for fault in (Fault.HANG, Fault.FROZEN, Fault.HANG_MIDWAY, Fault.HALF_OPEN, Fault.DRIP):
        await fleet.restore()
        for name in ("vllm", "ollama"):
            await fleet.set(name, fault)
        async with open_house(fleet, make_policy(fleet.url("vllm"), fleet.url("ollama"))) as house:
            outcomes = await drive(house.router, 64, in_flight=IN_FLIGHT)
        late = (outcomes.quantile(1) - TIMEOUTS["interactive"]) * 1000
        verdict.say(
            f"all runtimes: {fault.value}: the last of {outcomes.calls} calls ended {late:+.0f} ms after its deadline "
            "(promised: at most +100)",
            kept=late <= 100,
        )


async def rush(verdict: Verdict, fleet: Fleet) -> None:
    await fleet.restore()
    limits = {"max_concurrency": 8, "max_queue": 256}
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), limits=limits, timeouts={"interactive": 30.0})
    async with open_house(fleet, policy) as house:
        outcomes = await drive(house.router, 1000, in_flight=1000)
    ends = Counter(error.code for error in outcomes.errors)
    verdict.say(
        f"1,000 clients at once, max_concurrency 8: {len(outcomes.served)} answered, {dict(ends)}, "
        f"the last after {outcomes.quantile(1):.1f} s",
        kept=outcomes.calls == 1000 and set(ends) <= {"busy"},
    )


async def cancelled(verdict: Verdict, fleet: Fleet) -> None:
    await fleet.restore()
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 60.0, "inter_token": 50.0})
    with tempfile.TemporaryDirectory() as folder:
        path = served.written(policy, Path(folder))
        async with served.stdio(path) as client:
            await _cancel(verdict, fleet, client, "stdio")
        async with served.http(path) as (_, url), Client(url) as client:
            await _cancel(verdict, fleet, client, "HTTP 2026-07-28")


async def _cancel(verdict: Verdict, fleet: Fleet, client: Client, how: str) -> None:
    seconds = []
    for fault in [Fault.FROZEN, Fault.HANG_MIDWAY] * 5:
        await fleet.set("vllm", fault)
        seconds.append(await served.seconds_to_close(client, fleet, "vllm"))
    verdict.say(
        f"a call cancelled over {how}: the runtime saw it after {_ms(max(seconds))} at most, in {len(seconds)} tries "
        "(promised: 200 ms)",
        kept=max(seconds) <= 0.2,
    )


async def hang_under_traffic(verdict: Verdict, fleet: Fleet) -> None:
    await fleet.restore()
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts=SHIPPED_TIMEOUTS, health=SHIPPED_HEALTH)
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await fleet.set("vllm", Fault.FROZEN)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call, house.router, Outcomes())
            found = await house.becomes("unhealthy", within_s=60)
            tasks.cancel_scope.cancel()
    verdict.say(f"a hang under traffic: found after {found:.1f} s (promised: 10)", kept=found <= 10)


async def frozen_while_idle(verdict: Verdict, fleet: Fleet) -> None:
    await fleet.restore()
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts=SHIPPED_TIMEOUTS, health=SHIPPED_HEALTH)
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await house.router.generate(ASK)
        await fleet.set("vllm", Fault.FROZEN)
        found = await house.becomes("unhealthy", within_s=120)
    verdict.say(f"an engine frozen just after a call, idle: found after {found:.1f} s (promised: 60)", kept=found <= 60)


async def table(verdict: Verdict, fleet: Fleet) -> None:
    for kinds in (("vllm", "ollama"), ("ollama", "vllm")):
        verdict.say(f"\nprimary {kinds[0]}, fallback {kinds[1]}; {IN_FLIGHT} calls in flight\n{HEAD}")
        for fault in Fault:
            if fault is not Fault.OK:
                await row(verdict, fleet, kinds, fault)
    verdict.say(
        "\np50, p99, max: of calls. wave: failed attempts of those in flight when it struck. later: failed attempts "
        "after that;\nmost: the most of them in one window of the breaker. demoted: after it struck. reinstated: "
        f"after it was lifted.\nHere demote_after is {HEALTH['demote_after']:g} s, retry_after "
        f"{HEALTH['retry_after']:g} s, the deadline {TIMEOUTS['interactive']:g} s.\n"
    )


async def main(fleet: Fleet, chosen: frozenset[str]) -> int:
    """Run every part, or those that are named."""
    verdict = Verdict()
    for part in (table, steady_state, all_hung, rush, cancelled, hang_under_traffic, frozen_while_idle):
        if not chosen or part.__name__ in chosen:
            await part(verdict, fleet)
    verdict.say(f"\n{verdict.broken} promises broken" if verdict.broken else "\nevery promise was kept")
    return 1 if verdict.broken else 0


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _s(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"


if __name__ == "__main__":
    with running_fleet(vllm="vllm", vllm2="vllm", ollama="ollama", ollama2="ollama") as running:
        sys.exit(anyio.run(main, running, frozenset(sys.argv[1:])))
