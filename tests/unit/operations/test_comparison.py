"""When a candidate may be promoted, and when it must be taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.comparison import Tally, breaches, objections, total
from router_mcp.config.rollout_rules import RolloutRules

RULES = RolloutRules(min_calls=20)


def tally(
    attempts: int = 100,
    *,
    failed: int = 0,
    structured: int = 0,
    invalid: int = 0,
    first: float | None = None,
    speed: float | None = None,
) -> Tally:
    counted = Tally(attempts=attempts, failed=failed, structured=structured, invalid=invalid)
    for _ in range(attempts if first is not None else 0):
        counted.first_token(first or 0.0)
    if speed is not None:
        counted.tokens, counted.writing_s = int(speed * 100), 100.0
    return counted


GOOD = tally(first=0.2, speed=50, structured=50)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (tally(19), "the canary had 19 calls in the last 600 s, and 20 are needed"),
        (tally(failed=3), "3.0% of the canary's 100 calls failed"),
        (tally(structured=50, invalid=2), "4.0% of the canary's 50 structured answers were invalid"),
        (tally(first=0.4), "first token comes after"),
        (tally(first=0.2, speed=30), "writes 30.0 tokens a second, the model 50.0"),
    ],
)
def test_a_promotion_wants_enough_calls_and_every_limit_kept(candidate: Tally, said: str) -> None:
    found = objections(GOOD, candidate, RULES)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    "candidate",
    [
        tally(failed=2),
        tally(structured=50, invalid=1),
        tally(first=0.28),
        tally(first=0.2, speed=34),
        tally(first=0.01, speed=500),
        tally(),
    ],
)
def test_what_keeps_its_limits_may_be_promoted(candidate: Tally) -> None:
    assert objections(GOOD, candidate, RULES) == ()


def test_nothing_can_be_said_beside_a_model_that_nobody_called() -> None:
    assert objections(tally(0), tally(), RULES) == ("the model had 0 calls in the last 600 s, and 20 are needed",)


@pytest.mark.parametrize(
    ("candidate", "broken"),
    [
        (tally(4, failed=4), False),
        (tally(5, failed=5), True),
        (tally(20, failed=1), False),
        (tally(20, failed=5), True),
        (tally(1000, failed=25), False),
        (tally(1000, failed=60), True),
        (tally(10, structured=10, invalid=10), True),
        (tally(19, first=5.0), False),
        (tally(20, first=5.0), True),
        (tally(20, first=0.2, speed=10), True),
        (tally(20, first=0.2, speed=40), False),
        (tally(0), False),
    ],
)
def test_a_rollback_wants_to_be_sure(candidate: Tally, broken: bool) -> None:
    assert bool(breaches(GOOD, candidate, RULES)) is broken


def test_a_candidate_is_not_blamed_for_what_the_model_does_too() -> None:
    assert breaches(tally(failed=50), tally(failed=50), RULES) == ()
    assert objections(tally(failed=50), tally(failed=50), RULES) == ()


@given(st.lists(st.floats(0.002, 60), min_size=1, max_size=40))
def test_a_median_is_known_to_a_step_and_adds_up_over_processes(times: list[float]) -> None:
    parts = [tally(1, first=each) for each in times]
    ordered = sorted(times)
    median = ordered[(len(ordered) - 1) // 2]
    whole = total(parts)
    assert whole.attempts == len(times)
    assert whole.first_token_p50_s == pytest.approx(median, rel=0.08)


def test_without_a_call_there_are_no_numbers() -> None:
    nothing = Tally()
    assert (nothing.first_token_p50_s, nothing.tokens_per_s, nothing.error_rate, nothing.invalid_rate) == (
        None,
        None,
        0,
        0,
    )
