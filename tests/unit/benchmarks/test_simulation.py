"""The simulation, small: every call ends, a lost zone costs retries and no answers, and a seed tells all."""

from __future__ import annotations

import gc

import pytest

from benchmarks.simulation import report
from benchmarks.virtual import Outcome, Simulation

CALLS = 1500


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return Simulation(30, CALLS).run()


def test_every_call_is_served_although_a_zone_is_lost(outcome: Outcome) -> None:
    assert outcome.served.total() == CALLS == outcome.calls.total()
    assert not outcome.refused


def test_nothing_is_left_running_or_held() -> None:
    world = Simulation(30, 300)
    world.run()
    assert not any(world.running.values())
    assert world.book.in_flight() == {}
    assert world.book.queued("fleet") == 0


def test_decisions_leave_nothing_to_the_garbage_collector() -> None:
    """It is off while the simulation runs; were there cycles, their collection would be missing from the cost."""
    world = Simulation(30, CALLS)
    gc.collect()
    world.run()
    assert gc.isenabled()
    assert gc.collect() < CALLS / 10


def test_a_lost_zone_is_tried_when_it_is_struck_and_hardly_later(outcome: Outcome) -> None:
    assert outcome.amplification("struck") > outcome.amplification("before")
    for phase in ("before", "during", "after"):
        assert 1.0 <= outcome.amplification(phase) < 1.2


def test_most_calls_find_the_replica_that_their_prompt_belongs_to(outcome: Outcome) -> None:
    assert outcome.at_home / outcome.per_endpoint.total() > 0.6


def test_the_same_seed_is_the_same_story() -> None:
    one, other = Simulation(10, 300).run(), Simulation(10, 300).run()
    assert (one.attempts, one.served, one.per_endpoint) == (other.attempts, other.served, other.per_endpoint)
    assert one.attempts != Simulation(10, 300, seed=8).run().attempts


def test_the_report_shows_each_size_and_claims_what_the_issue_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.simulation.SIZES", (5, 10))
    monkeypatch.setattr("benchmarks.simulation.GROWTH_CALLS", 60)
    section = report(12, 90)
    assert [row[:2] for row in section.rows] == [("5", "60"), ("10", "60"), ("12", "90")]
    assert [claim.most for claim in section.claims] == [50.0, 4.0, 300.0, 0.0]
    assert section.claims[-1].holds
