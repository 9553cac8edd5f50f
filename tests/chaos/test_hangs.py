"""Runtimes that hang: every call ends in time, and the hang is found before calls have paid for it, used or idle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import anyio
import pytest

from router_mcp.errors import DeadlineError, NoRuntimeError
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import HEALTH, make_policy, open_house
from tests.chaos.load import ASK, Outcomes, call, drive

pytestmark = pytest.mark.anyio

HANGS = [Fault.HANG, Fault.FROZEN, Fault.HANG_MIDWAY, Fault.HALF_OPEN]
BUSY_MACHINE_S = 1.0
"""What a loaded machine may add; `make chaos` shows the true numbers."""


@pytest.mark.parametrize("fault", HANGS)
async def test_when_everything_hangs_every_call_ends_at_its_deadline(fleet: Fleet, fault: Fault) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 1.2})
    await fleet.set("vllm", fault)
    await fleet.set("ollama", fault)
    async with open_house(fleet, policy) as house:
        outcomes = await drive(house.router, 32)
        assert not any(house.router.book.in_flight().values())
    assert {type(error) for error in outcomes.errors} <= {DeadlineError, NoRuntimeError}
    assert max(outcomes.seconds) < 1.2 + BUSY_MACHINE_S
    if fault is Fault.HANG_MIDWAY:  # what was said until then comes back
        assert {result.finish_reason for result in outcomes.served} == {"deadline"}


async def test_a_hang_under_traffic_is_found_before_any_share_of_time_is_over(fleet: Fleet) -> None:
    policy = make_policy(
        fleet.url("vllm"), fleet.url("ollama"), timeouts={"interactive": 20.0}, health={"interval": 0.5}
    )
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await fleet.set("vllm", Fault.FROZEN)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call, house.router, Outcomes())
            waited = await house.becomes("unhealthy")
            assert house.ledger.failed_on(house.endpoint()) == [], "no call had to fail for it"
            assert waited < 0.6 + 1.0 + BUSY_MACHINE_S, "inter_token, and a look at it"
            tasks.cancel_scope.cancel()


async def test_an_idle_frozen_engine_is_found_and_its_thaw_too(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), health={"canary": 1.0, "demote_after": 60.0})
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await anyio.sleep(1.5)
        assert house.state() == "healthy", "its trials are served"
        await fleet.set("vllm", Fault.FROZEN)
        found = await house.becomes("unhealthy")
        assert found < 1.0 + 2.5 * HEALTH["timeout"] + HEALTH["interval"] + BUSY_MACHINE_S
        await fleet.set("vllm", Fault.OK)
        await house.becomes("healthy")
        assert house.ledger.tried == [], "no caller was needed, and none is counted"
    proof = 1  # of its constraints, once
    assert (await fleet.counts("ollama")).attempts <= proof, "trials would keep its models in memory"


async def test_a_caller_is_let_back_to_a_stalled_engine_only_when_a_trial_was_served(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), health={"canary": 60.0})
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await fleet.set("vllm", Fault.FROZEN)

        async def strike() -> None:
            await anyio.sleep(1.5)
            await fleet.set("vllm", Fault.OK)
            await house.becomes("healthy")

        outcomes = await drive(house.router, 1, in_flight=8, meanwhile=strike)
    assert outcomes.errors == []
    assert len(house.ledger.failed_on(house.endpoint())) == 8, "those in flight when it froze, and nobody later"


async def test_the_rule_of_five_minutes_in_seconds(fleet: Fleet) -> None:
    """Demoted after `demote_after` of unhealth and not before; reinstated after three good probes."""
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), health={"interval": 0.2, "demote_after": 1.5})
    async with open_house(fleet, policy) as house:
        await house.is_probed()
        await fleet.set("vllm", Fault.REFUSE)
        await house.becomes("unhealthy")
        failing_since = house.router.board.health(house.endpoint()).failing_since
        await house.becomes("demoted")
        assert failing_since is not None
        assert 1.5 <= anyio.current_time() - failing_since < 1.5 + BUSY_MACHINE_S
        await fleet.set("vllm", Fault.OK)
        probes = (await fleet.counts("vllm")).probes
        await house.becomes("recovering")
        await house.becomes("healthy")
        asked = (await fleet.counts("vllm")).probes - probes
        assert asked >= 3, "one probe would not do"
        assert (await house.router.generate(ASK)).runtime == "primary"


async def test_a_demoted_engine_that_hangs_gets_one_trial_at_a_time(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), health={"demote_after": 0.5})
    async with open_house(fleet, policy) as house:
        await fleet.set("vllm", Fault.FROZEN)
        await drive(house.router, 200, in_flight=8, meanwhile=lambda: anyio.sleep(2.5))
        first, *later = house.ledger.waves(house.endpoint(), HEALTH["retry_after"])
    assert first == 8
    assert set(later) <= {1}


async def test_a_short_timeout_of_the_caller_is_kept(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"))
    await fleet.set("vllm", Fault.HANG)
    await fleet.set("ollama", Fault.HANG)
    async with open_house(fleet, policy) as house:
        outcomes = await drive(house.router, 8, in_flight=8, request=replace(ASK, timeout_s=0.4))
    assert Counter(type(error) for error in outcomes.errors) == {DeadlineError: 8}
    assert max(outcomes.seconds) < 0.4 + BUSY_MACHINE_S
