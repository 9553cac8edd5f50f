"""The numbers that issue 3 promises, each measured on the fakes and said beside what was promised."""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
from mcp import Client

from tests.chaos import served
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import TIMEOUTS, make_policy, open_house
from tests.chaos.judge import Judge, Measured, ms
from tests.chaos.load import ASK, Outcomes, call, drive
from tests.chaos.soak import sample

CLIENTS = 1000
SHIPPED_TIMEOUTS = {"interactive": 30.0, "connect": 2.0, "inter_token": 8.0}
SHIPPED_HEALTH = {"interval": 10.0, "timeout": 2.0, "demote_after": 300.0, "retry_after": 5.0, "canary": 45.0}
HANGS = (Fault.HANG, Fault.FROZEN, Fault.HANG_MIDWAY, Fault.HALF_OPEN, Fault.DRIP, Fault.CHATTER)
GROWTH_KIB = 2048


async def steady_state(judge: Judge) -> None:
    """Compare one call after another, on runtimes of one kind, with a primary that is well and one that is dead."""

    async def median(fleet: Fleet, dead: bool) -> float:
        await fleet.restore()
        policy = make_policy(fleet.url("ollama2"), fleet.url("ollama"), kinds=("ollama", "ollama"))
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            if dead:
                await fleet.set("ollama2", Fault.REFUSE)
                await house.becomes("unhealthy")
            return (await drive(house.router, 200, in_flight=1)).quantile(0.5)

    async def measure() -> Measured:
        well, ill = await median(judge.fleet, False), await median(judge.fleet, True)
        return Measured(
            f"steady state: a call takes {ms(well)} with a primary that is well and {ms(ill)} with a dead one, "
            f"{(ill - well) * 1000:+.1f} ms (promised: at most +5)",
            ill - well <= 0.005,
        )

    await judge.judge(measure)


async def five_minutes(judge: Judge) -> None:
    """Keep the primary down beyond `demote_after`, in real time, and bring it back; idle, so that only probes tell."""
    fleet, after_s = judge.fleet, 3.0

    async def measure() -> Measured:
        policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), health={"interval": 0.2, "demote_after": after_s})
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            await fleet.set("vllm", Fault.REFUSE)
            await house.becomes("unhealthy")
            since = house.router.board.health(house.endpoint()).failing_since or 0.0
            await house.becomes("demoted")
            demoted = anyio.current_time() - since
            await fleet.set("vllm", Fault.OK)
            await house.becomes("recovering")
            first = house.router.board.health(house.endpoint()).successes
            await house.becomes("healthy")
        return Measured(
            f"the five-minute rule, with {after_s:g} s: demoted {demoted:.2f} s after the first failure, recovering "
            f"from success {first} on, healthy again after 3 (promised: not before, and 3)",
            after_s <= demoted <= after_s + 0.3 and first == 1,
        )

    await judge.judge(measure)


async def all_hung(judge: Judge) -> None:
    """Let everything hang, in several ways."""
    fleet = judge.fleet

    async def measure(fault: Fault) -> Measured:
        for name in ("vllm", "ollama"):
            await fleet.set(name, fault)
        async with open_house(fleet, make_policy(fleet.url("vllm"), fleet.url("ollama"))) as house:
            outcomes = await drive(house.router, 64, in_flight=32)
        late = (outcomes.quantile(1) - TIMEOUTS["interactive"]) * 1000
        return Measured(
            f"all runtimes: {fault.value}: the last of {outcomes.calls} calls ended {late:+.0f} ms after its deadline "
            "(promised: at most +100)",
            late <= 100,
        )

    for fault in HANGS:
        await judge.judge(partial(measure, fault))


async def rush(judge: Judge) -> None:
    """Let a thousand clients call at once, twice, and look at what the second time left in memory."""
    fleet, limits = judge.fleet, {"max_concurrency": 8, "max_queue": 256}

    async def measure() -> Measured:
        policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), limits=limits, timeouts={"interactive": 30.0})
        async with open_house(fleet, policy) as house:
            await drive(house.router, CLIENTS, in_flight=CLIENTS)
            house.ledger.tried.clear()
            before = sample()
            outcomes = await drive(house.router, CLIENTS, in_flight=CLIENTS)
            house.ledger.tried.clear()
            ends, answered = Counter(error.code for error in outcomes.errors), len(outcomes.served)
            calls, last = outcomes.calls, outcomes.quantile(1)
            del outcomes
            grown = sample().rss_kib - before.rss_kib
        return Measured(
            f"{CLIENTS} clients at once, max_concurrency 8: {answered} answered, {dict(ends)}, the last after "
            f"{last:.1f} s; memory {grown:+} KiB after a second time (promised: answered or busy, memory flat)",
            calls == CLIENTS and set(ends) <= {"busy"} and grown <= GROWTH_KIB,
        )

    await judge.judge(measure)


async def cancelled(judge: Judge) -> None:
    """Cancel calls over both transports, before and within their answers."""
    fleet = judge.fleet
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 60.0, "inter_token": 50.0})

    async def measure(client: Client, how: str) -> Measured:
        seconds = []
        for fault in [Fault.FROZEN, Fault.HANG_MIDWAY] * 5:
            await fleet.set("vllm", fault)
            seconds.append(await served.seconds_to_close(client, fleet, "vllm"))
        return Measured(
            f"a call cancelled over {how}: the runtime saw it after {ms(max(seconds))} at most, in {len(seconds)} "
            "tries (promised: 200 ms)",
            max(seconds) <= 0.2,
        )

    with tempfile.TemporaryDirectory() as folder:
        path = served.written(policy, Path(folder))
        async with served.stdio(path) as client:
            await judge.judge(partial(measure, client, "stdio"))
        async with served.http(path) as (_, url), Client(url) as client:
            await judge.judge(partial(measure, client, "HTTP 2026-07-28"))


async def hang_under_traffic(judge: Judge) -> None:
    """Freeze the primary while calls run on it, with the settings that ship."""
    fleet = judge.fleet

    async def measure() -> Measured:
        policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts=SHIPPED_TIMEOUTS, health=SHIPPED_HEALTH)
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            await fleet.set("vllm", Fault.FROZEN)
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(call, house.router, Outcomes())
                found = await house.becomes("unhealthy", within_s=60)
                tasks.cancel_scope.cancel()
        return Measured(f"a hang under traffic: found after {found:.1f} s (promised: 10)", found <= 10)

    await judge.judge(measure)


async def frozen_while_idle(judge: Judge) -> None:
    """Freeze the primary just after a call, with the settings that ship, and leave it alone."""
    fleet = judge.fleet

    async def measure() -> Measured:
        policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts=SHIPPED_TIMEOUTS, health=SHIPPED_HEALTH)
        async with open_house(fleet, policy) as house:
            await house.is_probed()
            await house.router.generate(ASK)
            await fleet.set("vllm", Fault.FROZEN)
            found = await house.becomes("unhealthy", within_s=120)
        line = f"an engine frozen just after a call, idle: found after {found:.1f} s (promised: 60)"
        return Measured(line, found <= 60)

    await judge.judge(measure)
