"""One deadline per call, and each attempt's share of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.budget import Budget, make_budget

SECONDS = st.floats(0, 1e6, allow_nan=False)


def budget(now: float = 100.0, policy_s: float = 30.0, asked_s: float | None = None) -> Budget:
    return make_budget(now=now, policy_s=policy_s, asked_s=asked_s, inter_token_s=8)


@pytest.mark.parametrize(
    ("asked_s", "seconds"), [(None, 30), (5, 5), (30, 30), (60, 30), (0, 0), (-3, 0), (float("nan"), 30)]
)
def test_a_caller_may_only_shorten_what_the_policy_allows(asked_s: float | None, seconds: float) -> None:
    assert budget(asked_s=asked_s).deadline == 100 + seconds


def test_what_remains_is_never_negative() -> None:
    assert [budget().remaining(now) for now in (100, 115, 130, 200)] == [30, 15, 0, 0]


def test_each_candidate_has_an_equal_share_of_what_is_left() -> None:
    made = budget()
    assert made.first_token_by(100, 3) == 110
    assert made.first_token_by(110, 2) == 120
    assert made.first_token_by(120, 1) == 130


def test_who_fails_early_leaves_the_time_to_those_that_follow() -> None:
    assert budget().first_token_by(101, 1) == 130


def test_the_last_candidate_has_all_that_is_left_however_it_is_counted() -> None:
    assert budget().first_token_by(100, 0) == 130


@given(now=SECONDS, policy_s=SECONDS, asked_s=st.none() | SECONDS, later=SECONDS, candidates=st.integers(0, 20))
def test_no_share_ends_after_the_deadline_or_before_it_begins(
    now: float, policy_s: float, asked_s: float | None, later: float, candidates: int
) -> None:
    made = budget(now, policy_s, asked_s)
    begins = min(now + later, made.deadline)
    assert made.deadline <= now + policy_s
    assert begins <= made.first_token_by(begins, candidates) <= made.deadline + 1e-6


@given(policy_s=st.floats(1, 1000), candidates=st.integers(1, 10))
def test_candidates_that_all_use_up_their_shares_end_together_at_the_deadline(policy_s: float, candidates: int) -> None:
    made = budget(0, policy_s)
    now = 0.0
    for left in range(candidates, 0, -1):
        share = made.first_token_by(now, left) - now
        assert share == pytest.approx(policy_s / candidates)
        now += share
    assert now == pytest.approx(policy_s)
