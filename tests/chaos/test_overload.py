"""More callers than the runtimes take: each is served or told to come again, and nothing is left behind."""

from __future__ import annotations

import gc
import tracemalloc

import anyio
import pytest

from router_mcp.errors import BusyError
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import House, make_policy, open_house
from tests.chaos.load import Outcomes, drive

pytestmark = pytest.mark.anyio

CLIENTS = 1000
LIMITS = {"max_concurrency": 8, "max_queue": 256}
KIB = 1024


async def rush(house: House) -> Outcomes:
    """Let all clients call at the same moment, once each."""
    return await drive(house.router, CLIENTS, in_flight=CLIENTS)


async def test_a_thousand_clients_at_once_are_answered_or_told_to_come_again(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), limits=LIMITS, timeouts={"interactive": 20.0})
    for name in ("vllm", "ollama"):
        await fleet.set(name, Fault.OK, pace_s=0.002)
    async with open_house(fleet, policy) as house:
        outcomes = await rush(house)
        assert outcomes.calls == CLIENTS
        assert len(outcomes.served) >= 2 * (8 + 256)
        assert {type(error) for error in outcomes.errors} == {BusyError}
        assert all(error.retry_after_s for error in outcomes.errors)
        assert (await fleet.counts("vllm")).most_in_flight == 8
        assert (await fleet.counts("ollama")).most_in_flight == 8
        assert not any(house.router.book.in_flight().values())
        assert house.router.book.queued("primary") == house.router.book.queued("fallback") == 0
        house.ledger.tried.clear()
        assert await grown(house) < 256 * KIB, "a second rush leaves nothing behind"


async def grown(house: House) -> int:
    """Return by how many bytes memory has grown after another rush."""
    gc.collect()
    tracemalloc.start()
    try:
        await rush(house)
        house.ledger.tried.clear()
        await anyio.sleep(0.1)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


async def test_a_primary_that_dies_under_a_rush_costs_nobody_an_answer(fleet: Fleet) -> None:
    limits = {"max_concurrency": 8, "max_queue": 1000}
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"), limits=limits, timeouts={"interactive": 20.0})
    async with open_house(fleet, policy) as house:

        async def strike() -> None:
            await anyio.sleep(0.3)
            await fleet.set("vllm", Fault.REFUSE)

        outcomes = await drive(house.router, 300, in_flight=300, meanwhile=strike)
        assert outcomes.errors == []
        assert not any(house.router.book.in_flight().values())


async def test_a_runtime_that_is_full_is_used_again_as_soon_as_it_has_room(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"))
    async with open_house(fleet, policy) as house:
        await fleet.set("vllm", Fault.FULL)
        assert (await drive(house.router, 32)).models() == {"llama3.1-8b-instruct"}
        await fleet.set("vllm", Fault.OK)
        await anyio.sleep(1.1)
        outcomes = await drive(house.router, 100)
        assert outcomes.errors == []
        served_there = sum(result.runtime == "primary" for result in outcomes.served)
        assert served_there > 50
