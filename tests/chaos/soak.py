"""Random faults for minutes or hours: nothing leaks, nothing is stuck, and no caller sees an error.

`make soak` runs it for SOAK_MINUTES. In each round one runtime is left alone and may have to serve everything;
the others are struck at random. Some callers go away, and the policy is reloaded now and then.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from router_mcp.errors import RouterError
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.houses import House, make_policy, open_house
from tests.chaos.load import Outcomes, call
from tests.chaos.machine import Pauses

NAMES = ("vllm", "vllm2", "ollama")
IN_FLIGHT = 12
DEADLINE_S = 6.0
ROUND_S = 15.0
IMPATIENT = 0.02
"""Part of the callers that go away early."""
FAULTS = [fault for fault in Fault if fault is not Fault.DNS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a process has of what can leak."""

    rss_kib: int
    tasks: int
    files: int


@dataclass(slots=True)
class Soaked:
    """What a soak showed."""

    calls: int = 0
    left: int = 0
    slowest_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    strikes: int = 0
    samples: list[Sample] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    in_flight: int = 0
    lag_s: float = 0.0
    """The longest that the machine kept this process from running."""

    def problems(self, *, growth_kib: int, deadline_s: float = DEADLINE_S) -> list[str]:
        """List what should not have been."""
        found = [f"client error: {error}" for error in self.errors[:5]]
        found += [f"stuck: {name}" for name in self.stuck]
        found += [f"{self.in_flight} calls leaked"] if self.in_flight else []
        late_s = self.slowest_s - deadline_s
        found += [f"a call ended {late_s:.1f} s after its deadline"] if late_s > 0.1 + self.lag_s else []
        before, after = self.samples[len(self.samples) // 3], self.samples[-1]
        if after.rss_kib - before.rss_kib > growth_kib:
            found.append(f"memory grew from {before.rss_kib} to {after.rss_kib} KiB")
        if after.tasks > before.tasks + 5:
            found.append(f"tasks grew from {before.tasks} to {after.tasks}")
        if after.files > before.files + 50:
            found.append(f"open files grew from {before.files} to {after.files}")
        return found


def sample() -> Sample:
    """Look at this process; where there is no /proc, memory is the highest that it ever had."""
    gc.collect()
    statm, files = Path("/proc/self/statm"), Path("/dev/fd")
    if statm.exists():
        rss = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    else:
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Sample(rss_kib=rss, tasks=len(anyio.get_running_tasks()), files=len(list(files.iterdir())))


async def soak(
    fleet: Fleet, seconds: float, rng: random.Random, *, round_s: float = ROUND_S, deadline_s: float = DEADLINE_S
) -> Soaked:
    """Strike runtimes at random for so long under traffic, and tell what was left behind."""
    soaked = Soaked()
    policy = make_policy(
        (fleet.url("vllm"), fleet.url("vllm2")),
        fleet.url("ollama"),
        timeouts={"interactive": deadline_s, "connect": deadline_s / 4, "inter_token": deadline_s / 4},
        health={"canary": 2.0},
    )
    over, pauses = anyio.Event(), Pauses()
    async with open_house(fleet, policy) as house, anyio.create_task_group() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.start_soon(_client, house, soaked, rng, over)
        tasks.start_soon(pauses.watch)
        end = anyio.current_time() + seconds
        while anyio.current_time() < end:
            await _round(fleet, soaked, rng, min(round_s, end - anyio.current_time()), deadline_s)
            house.router.adopt(policy)
            house.ledger.tried.clear()
            soaked.samples.append(sample())
        soaked.stuck = await _stuck(house)
        over.set()
        await anyio.sleep(deadline_s)  # calls that run come to their end
        soaked.in_flight = sum(house.router.book.in_flight().values())
        soaked.lag_s = max(pauses.longest_s, await fleet.paused_s())
        tasks.cancel_scope.cancel()
    return soaked


async def _client(house: House, soaked: Soaked, rng: random.Random, over: anyio.Event) -> None:
    """Call again and again until it is over; go away early now and then."""
    while not over.is_set():
        outcomes = Outcomes()
        leaves = rng.random() < IMPATIENT
        with anyio.move_on_after(rng.uniform(0, 0.1) if leaves else float("inf")):
            await call(house.router, outcomes)
        soaked.calls += 1
        soaked.left += not outcomes.calls
        soaked.errors += [f"{error} ({_tried(error)})" for error in outcomes.errors]
        soaked.slowest_s = max([soaked.slowest_s, *outcomes.seconds])


def _tried(error: RouterError) -> str:
    """Return what became of a call that ended in an error."""
    attempts = error.receipt.attempts if error.receipt else ()
    return ", ".join(f"{each.endpoint} {each.outcome} {each.seconds:.2f} s" for each in attempts)


async def _round(fleet: Fleet, soaked: Soaked, rng: random.Random, seconds: float, deadline_s: float) -> None:
    """Leave one runtime alone, strike the others, and then let all be well until the calls of this round are over."""
    spared = rng.choice(NAMES)
    end = anyio.current_time() + max(seconds - deadline_s, 0)
    while anyio.current_time() < end:
        name = rng.choice([each for each in NAMES if each != spared])
        await fleet.set(name, rng.choice(FAULTS))
        soaked.strikes += 1
        await anyio.sleep(rng.uniform(0.1, 1.5))
    for name in NAMES:
        await fleet.set(name, Fault.OK)
    await anyio.sleep(min(seconds, deadline_s))


async def _stuck(house: House) -> list[str]:
    """Return the endpoints that do not become healthy, though they are well and there are callers."""
    endpoints = house.router.fleet.endpoints()
    ill: list[str] = []
    for _ in range(200):
        now = anyio.current_time()
        ill = [str(each) for each in endpoints if house.router.board.standing(each, None, now).state != "healthy"]
        if not ill:
            break
        await anyio.sleep(0.1)
    return ill


def main() -> int:
    """Soak for the minutes that are the first argument, and print what came of it."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    write = sys.stdout.write
    write(f"soaking for {minutes:g} minutes, seed {seed}\n")
    with running_fleet(vllm="vllm", vllm2="vllm", ollama="ollama") as fleet:
        soaked = anyio.run(soak, fleet, minutes * 60, random.Random(seed))
    write(f"{soaked.calls} calls, {soaked.left} of them left early, {soaked.strikes} faults\n")
    write(
        f"slowest call {soaked.slowest_s:.2f} s of {DEADLINE_S:g} s; the machine paused us for {soaked.lag_s:.2f} s\n"
    )
    for each in soaked.samples[:: max(1, len(soaked.samples) // 10)]:
        write(f"{each.rss_kib} KiB, {each.tasks} tasks, {each.files} open files\n")
    problems = soaked.problems(growth_kib=8 * 1024)
    write("\n".join(problems) + "\n" if problems else "nothing leaked, nothing is stuck, no caller saw an error\n")
    if problems and soaked.lag_s > DEADLINE_S / 8:
        write("this machine was too busy to tell: it kept us waiting for as long as a stalled runtime would\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
