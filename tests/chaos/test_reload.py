"""A policy that changes under load, over real sockets: no call is lost, and health is kept."""

from __future__ import annotations

import anyio
import pytest

from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.houses import make_policy, open_house
from tests.chaos.load import drive

pytestmark = pytest.mark.anyio


async def test_reloads_under_load_lose_no_call(fleet: Fleet) -> None:
    """The primary moves to another address and back, its limits change, and the fallback is remade."""
    moves = [
        make_policy(fleet.url(primary), fleet.url(fallback), limits={"max_concurrency": limit})
        for primary, fallback, limit in (
            ("vllm2", "ollama", 64),
            ("vllm", "ollama2", 4),
            ("vllm2", "ollama2", 64),
            ("vllm", "ollama", 64),
        )
    ]
    async with open_house(fleet, make_policy(fleet.url("vllm"), fleet.url("ollama"))) as house:

        async def reload() -> None:
            for policy in moves * 2:
                await anyio.sleep(0.1)
                house.router.adopt(policy)
            await anyio.sleep(0.5)  # probers of endpoints that are gone wake up, and find them gone

        outcomes = await drive(house.router, 200, meanwhile=reload)
        assert outcomes.errors == []
        assert not any(house.router.book.in_flight().values())
    assert (await fleet.counts("vllm")).served > 0
    assert (await fleet.counts("vllm2")).served > 0


async def test_a_dead_runtime_stays_dead_through_a_reload(fleet: Fleet) -> None:
    policy = make_policy(fleet.url("vllm"), fleet.url("ollama"))
    await fleet.set("vllm", Fault.REFUSE)
    async with open_house(fleet, policy) as house:
        await house.becomes("unhealthy")
        failing_since = house.router.board.health(house.endpoint()).failing_since
        house.router.adopt(make_policy(fleet.url("vllm"), fleet.url("ollama2")))
        outcomes = await drive(house.router, 50)
        assert outcomes.errors == []
        assert house.router.board.health(house.endpoint()).failing_since == failing_since
    assert (await fleet.counts("ollama")).attempts == 0
    assert (await fleet.counts("ollama2")).served >= 50
