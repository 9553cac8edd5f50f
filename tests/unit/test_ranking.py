"""What is kept of a ranking is what a fresh look would find, whatever happened since and however long ago."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_mcp.board import HealthBoard, Key
from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import Endpoint
from router_mcp.errors import (
    AttemptError,
    ModelMissingError,
    OverloadedError,
    ServerFailedError,
    StalledError,
    UnreachableError,
)
from router_mcp.health import UNSEEN
from router_mcp.policy import Step, steps_of
from router_mcp.ranking import Ranking
from router_mcp.ranks import Ranks, changes_at, grouped, rank_of
from router_mcp.replicas import Replicas

RULES = HealthRules(demote_after=300, reinstate_after=3)
ONE, TWO, THREE = (Endpoint(runtime="gpu", url=f"http://gpu-{n}") for n in range(3))
REPLICAS = Replicas((ONE, TWO, THREE))
MODELS = ("big", "small")
ERRORS: tuple[AttemptError, ...] = (
    UnreachableError("it is gone."),
    StalledError("it fell silent."),
    ServerFailedError("it failed.", retry_after_s=20.0),
    ModelMissingError("it lacks the model."),
    OverloadedError("it is full.", retry_after_s=7.5),
    OverloadedError("it is full."),
)
Event = Callable[[HealthBoard, float], None]


def fresh(board: HealthBoard, model: str, now: float) -> tuple[Step, ...]:
    """Look at every replica."""
    standing = {each: board.standing(each, model, now) for each in REPLICAS}
    ranks = Ranks({each.url: rank_of(standing[each]) for each in REPLICAS})
    return steps_of(model, "primary", grouped(REPLICAS, ranks, standing.__getitem__))


def kept(ranking: Ranking, model: str, now: float) -> tuple[Step, ...]:
    return ranking.steps(REPLICAS, model, "primary", canary=False, now=now)


@st.composite
def events(draw: st.DrawFn) -> tuple[float, str, Endpoint, str, AttemptError]:
    """Return something that happens to a replica, some time after the last thing did."""
    after_s = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 4.0, 5.0, 7.5, 60.0, 300.0, 301.0]))
    what = draw(st.sampled_from(["failed", "failed", "succeeded", "probed", "began", "settled", "nothing"]))
    return after_s, what, draw(st.sampled_from(REPLICAS)), draw(st.sampled_from(MODELS)), draw(st.sampled_from(ERRORS))


@settings(max_examples=300)
@given(st.lists(events(), max_size=25))
def test_the_kept_steps_are_those_of_a_fresh_look(
    happened: list[tuple[float, str, Endpoint, str, AttemptError]],
) -> None:
    board = HealthBoard(RULES)
    ranking, now = Ranking(board), 1000.0
    trials: list[frozenset[Key]] = []
    for after_s, what, endpoint, model, error in happened:
        now += after_s
        for each in MODELS:
            assert kept(ranking, each, now) == fresh(board, each, now)
        if what == "failed":
            board.failed(endpoint, model, error, now)
        elif what == "succeeded":
            board.succeeded(endpoint, model, now, begun=now - after_s)
        elif what == "probed":
            board.probed(endpoint, frozenset(MODELS), now)
        elif what == "began":
            trials.append(board.begin(endpoint, model, now))
        elif what == "settled" and trials:
            board.settle(trials.pop())
        for each in MODELS:
            assert kept(ranking, each, now) == fresh(board, each, now)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_standing_changes_at_no_moment_but_those_that_are_foretold(error: AttemptError) -> None:
    board, now = HealthBoard(RULES), 1000.0
    board.failed(ONE, "big", error, now)
    key: Key = (ONE, "big" if error.blames == "model" else None)
    while (until := changes_at(board.health(*key), now, RULES)) < math.inf:
        before = replace(board.standing(ONE, "big", now), waiting_s=0.0)
        last = replace(board.standing(ONE, "big", math.nextafter(until, 0)), waiting_s=0.0)
        assert before == last
        now = until
    assert now > 1000.0
    assert board.standing(ONE, "big", now + 1e6) == replace(board.standing(ONE, "big", now), waiting_s=0.0)


def test_nothing_is_foretold_of_what_nothing_is_held_against() -> None:
    assert changes_at(UNSEEN, 1000.0, RULES) == math.inf


def test_nobody_looks_again_while_nothing_happens() -> None:
    board = HealthBoard(RULES)
    board.failed(ONE, "big", StalledError("it fell silent."), 1000.0)
    ranking = Ranking(board)
    assert kept(ranking, "big", 1000.5) is kept(ranking, "big", 1000.6)


def test_what_happens_on_one_runtime_is_no_reason_to_look_at_another() -> None:
    board = HealthBoard(RULES)
    ranking = Ranking(board)
    before = kept(ranking, "big", 1000.0)
    board.failed(Endpoint(runtime="laptop", url="http://laptop"), "big", UnreachableError("it is gone."), 1000.0)
    assert kept(ranking, "big", 1000.0) is before


def test_a_replica_that_a_reload_took_away_does_not_come_back_with_its_last_calls() -> None:
    """Calls that began before the reload end on it, and say how."""
    board = HealthBoard(RULES)
    ranking = Ranking(board)
    before = kept(ranking, "big", 1000.0)
    board.failed(Endpoint(runtime="gpu", url="http://gone"), "big", StalledError("it fell silent."), 1000.0)
    assert kept(ranking, "big", 1000.0) is before


def test_roles_do_not_mix() -> None:
    ranking = Ranking(HealthBoard(RULES))
    primary = kept(ranking, "big", 1000.0)
    canary = ranking.steps(REPLICAS, "big", "canary of small", canary=True, now=1000.0)
    assert [step.reason for step in (*primary, *canary)] == ["primary; unknown", "canary of small; unknown"]
    assert [step.canary for step in (*primary, *canary)] == [False, True]
