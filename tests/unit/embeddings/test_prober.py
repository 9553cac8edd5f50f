"""Health checks tell what a backend has and that it lives, and never more than one a time."""

from __future__ import annotations

import anyio
import pytest

from embeddings_mcp.catalog import not_ready
from embeddings_mcp.prober import Prober
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import UnreachableError
from tests.unit.embeddings.fakes import FakeBackend, World, world

pytestmark = pytest.mark.anyio


def states(sut: World) -> dict[str, str]:
    return {card.name: card.state for card in sut.embedder.cards()}


async def test_nobody_is_known_before_the_first_check() -> None:
    sut = world()
    assert set(states(sut).values()) == {"unknown"}
    assert not_ready(sut.embedder.cards()) == "first was not asked yet. Wait for the first health check."


async def test_an_endpoint_that_answers_is_healthy_and_so_are_its_models() -> None:
    sut = world()
    await Prober(sut.embedder).probe_all()
    assert set(states(sut).values()) == {"healthy"}
    assert not_ready(sut.embedder.cards()) is None


async def test_a_backend_that_is_down_says_what_to_do() -> None:
    down = UnreachableError("a cannot be reached. Start it.")
    sut = world(a=FakeBackend(probe_error=down), b=FakeBackend(probe_error=down), c=FakeBackend(probe_error=down))
    await Prober(sut.embedder).probe_all()
    assert states(sut)["first"] == "unhealthy"
    assert not_ready(sut.embedder.cards()) == "first is unhealthy: a cannot be reached. Start it."


async def test_a_model_that_is_not_there_is_unhealthy_until_it_is() -> None:
    sut = world(a=FakeBackend(has=frozenset({"something"})), b=FakeBackend(has=frozenset()))
    prober = Prober(sut.embedder)
    await prober.probe_all()
    cards = {card.name: card for card in sut.embedder.cards()}
    assert cards["first"].state == "unhealthy"
    assert "Run `ollama pull first` there" in (cards["first"].detail or "")
    assert "Load it there" in (cards["second"].detail or "")
    sut.a.has = frozenset({"first"})
    await anyio.sleep(60)
    await prober.probe_all()
    assert states(sut)["first"] == "healthy"


async def test_a_check_that_hangs_is_given_up() -> None:
    sut = world(a=FakeBackend(probe_s=1000))
    begun = anyio.current_time()
    await Prober(sut.embedder).probe_all()
    assert anyio.current_time() - begun < 3
    assert "health check" in (sut.embedder.cards()[0].detail or "")


async def test_endpoints_are_asked_again_and_again() -> None:
    class Counting(FakeBackend):
        asked = 0

        async def probe(self, endpoint: Endpoint) -> Probe:
            self.asked += 1
            return Probe()

    sut = world(a=(counting := Counting()))
    with anyio.move_on_after(35):
        await Prober(sut.embedder).run()
    assert counting.asked == 2 * 4  # two endpoints, at 0, 10, 20 and 30 s


async def test_endpoints_are_listed_with_their_load() -> None:
    sut = world()
    await Prober(sut.embedder).probe_all()
    first = sut.embedder.endpoint_cards()[0]
    assert (first.backend, first.kind, first.state, first.in_flight, first.max_concurrency) == (
        "a",
        "ollama",
        "healthy",
        0,
        2,
    )
    assert first.since_s == 0
