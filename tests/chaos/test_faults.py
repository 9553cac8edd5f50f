"""One of two runtimes is down, in every way that there is: no caller sees it, and nobody pays for it twice."""

from __future__ import annotations

import anyio
import pytest

from tests.chaos.faults import NOBODYS, Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import HEALTH, TIMEOUTS, House, make_policy, open_house
from tests.chaos.load import Outcomes, drive
from tests.chaos.recorded import OLLAMA_WIRE, VLLM_WIRE, text_of

pytestmark = pytest.mark.anyio

NOWHERE = "http://no-such-host.invalid:8000"
WINDOW_S = HEALTH["retry_after"]
CALLS = 200
FAULTS = [fault for fault in Fault if fault is not Fault.OK]
OF_THE_WIRE = [
    Fault.REFUSE,
    Fault.FROZEN,
    Fault.HANG_MIDWAY,
    Fault.CUT,
    Fault.UNFINISHED,
    Fault.TRUNCATED_JSON,
    Fault.FULL,
    Fault.FAILED,
    Fault.MISSING,
]
"""Faults that the two runtimes show in different words."""


async def struck(fleet: Fleet, primary: str, fallback: str, fault: Fault) -> tuple[House, Outcomes]:
    """Let a fault strike the primary under traffic, and keep the traffic up for some windows of its breaker."""
    url = NOWHERE if fault is Fault.DNS else fleet.url(primary)
    policy = make_policy(url, fleet.url(fallback), kinds=(primary, fallback))

    async def strike() -> None:
        await anyio.sleep(0.2)
        await fleet.set(primary, fault)
        await anyio.sleep(0.6)

    async with open_house(fleet, policy) as house:
        return house, await drive(house.router, CALLS, meanwhile=strike)


def check(house: House, outcomes: Outcomes, fault: Fault) -> None:
    assert outcomes.errors == []
    assert outcomes.calls >= CALLS
    assert outcomes.texts() <= {text_of(VLLM_WIRE), text_of(OLLAMA_WIRE)}, "no answer is spliced or cut"
    assert max(outcomes.seconds) < TIMEOUTS["interactive"] + 1
    first, *later = house.ledger.waves(house.endpoint(), WINDOW_S)
    assert first <= 32, "those that were in flight; none when a probe sees it first"
    assert set(later) <= {1}, "one caller at a time tries it again, and once a window"
    assert set(house.router.book.in_flight().values()) <= {0}
    if fault is not Fault.RESET_ANSWERS:  # there each probe says that it is well, and each trial that it is not
        assert (house.state() in {"healthy", "unknown"}) == (fault in NOBODYS)


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_notices_that_vllm_is_down(fleet: Fleet, fault: Fault) -> None:
    house, outcomes = await struck(fleet, "vllm", "ollama", fault)
    check(house, outcomes, fault)


@pytest.mark.parametrize("fault", OF_THE_WIRE)
async def test_nobody_notices_that_ollama_is_down(fleet: Fleet, fault: Fault) -> None:
    house, outcomes = await struck(fleet, "ollama", "vllm", fault)
    check(house, outcomes, fault)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.FROZEN, Fault.CUT, Fault.FULL])
async def test_a_replica_that_is_down_costs_a_try_on_another_and_no_other_model(fleet: Fleet, fault: Fault) -> None:
    policy = make_policy((fleet.url("vllm"), fleet.url("vllm2")), fleet.url("ollama"))

    async def strike() -> None:
        await anyio.sleep(0.2)
        await fleet.set("vllm", fault)
        await anyio.sleep(0.6)

    async with open_house(fleet, policy) as house:
        await house.is_probed()
        outcomes = await drive(house.router, CALLS, meanwhile=strike, spread=True)
        failed = [tried for each in house.router.fleet.endpoints() for tried in house.ledger.failed_on(each)]
    assert outcomes.errors == []
    assert outcomes.models() == {"mixtral-8x7b-instruct"}
    assert {each.endpoint.url for each in failed} == {fleet.url("vllm")}
    assert (await fleet.counts("ollama")).attempts == 0
