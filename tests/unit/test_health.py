"""How endpoints and models fall ill, are left alone, are tried again and come back. Times are seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.board import HealthBoard
from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import Endpoint, State
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ContextTooLongError,
    ModelMissingError,
    ModelUnusableError,
    OutOfTimeError,
    OutputInvalidError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    StalledError,
    UnauthorizedError,
    UnreachableError,
)
from router_mcp.health import DEFAULT_WAIT_S, MAX_DOUBLINGS, WELL, since

RULES = HealthRules()
A = Endpoint(runtime="gpu", url="http://a")
B = Endpoint(runtime="gpu", url="http://b")
REFUSED = UnreachableError("refused")
STALLED = StalledError("stalled")
WINDOW = RULES.retry_after


def board(**rules: float) -> HealthBoard:
    return HealthBoard(RULES.model_copy(update=rules))


def ill(error: AttemptError = REFUSED, *, at: float = 0.0) -> HealthBoard:
    """Return a board on which `A` was well and then failed."""
    made = board()
    made.succeeded(A, "m", at - 1)
    made.failed(A, "m", error, at)
    return made


def state(of: HealthBoard, now: float, model: str | None = None) -> State:
    return of.standing(A, model, now).state


def test_nothing_is_known_of_an_endpoint_that_nobody_asked_and_a_call_may_use_it() -> None:
    standing = board().standing(A, "m", 0)
    assert (standing.state, standing.open, standing.waiting_s, standing.error) == ("unknown", True, 0.0, None)
    assert since(board().health(A), 0, RULES) is None


@pytest.mark.parametrize("served", [True, False])
def test_a_served_call_or_a_good_probe_makes_it_healthy(served: bool) -> None:
    made = board()
    if served:
        made.succeeded(A, "m", 7)
    else:
        made.probed(A, None, 7)
    assert state(made, 8) == "healthy"
    assert made.standing(A, "m", 8).open
    assert since(made.health(A), 8, RULES) == 7


def test_a_failure_closes_it_for_a_window_and_says_why() -> None:
    made = ill(at=100)
    standing = made.standing(A, "m", 100)
    assert (standing.state, standing.open, standing.error) == ("unhealthy", False, "refused")
    assert not made.standing(A, "m", 100 + WINDOW - 0.001).open
    assert made.standing(A, "m", 100 + WINDOW).open
    assert since(made.health(A), 101, RULES) == 100


def test_it_is_demoted_after_300_s_of_unhealth_and_not_before() -> None:
    made = ill(at=100)
    assert state(made, 400) == "unhealthy"
    assert state(made, 400.001) == "demoted"
    assert since(made.health(A), 500, RULES) == 400


def test_the_first_failure_counts_for_the_demotion_not_the_last() -> None:
    made = ill(at=0)
    for later in (50, 150, 299):
        made.failed(A, "m", REFUSED, later)
    assert state(made, 300) == "unhealthy"
    assert state(made, 300.1) == "demoted"


def test_the_demotion_follows_the_policy_also_when_it_is_reloaded() -> None:
    made = ill(at=0)
    assert state(made, 20) == "unhealthy"
    made.rules = RULES.model_copy(update={"demote_after": 10})
    assert state(made, 20) == "demoted"


def test_one_served_call_makes_an_unhealthy_one_healthy() -> None:
    made = ill(STALLED)
    made.succeeded(A, "m", 10)
    assert state(made, 10) == "healthy"
    assert made.health(A).error is None


def test_a_demoted_one_is_reinstated_after_three_successes_and_not_before() -> None:
    made = ill(at=0)
    states = [state(made, 400)]
    for now in (401, 402, 403):
        made.succeeded(A, "m", now)
        states.append(state(made, now))
    assert states == ["demoted", "recovering", "recovering", "healthy"]


def test_a_recovering_one_began_to_recover_with_its_first_success() -> None:
    made = ill(at=0)
    made.succeeded(A, "m", 401)
    made.succeeded(A, "m", 402)
    assert since(made.health(A), 410, RULES) == 401


def test_a_failure_while_recovering_demotes_it_again_at_once() -> None:
    made = ill(at=0)
    made.succeeded(A, "m", 401)
    made.failed(A, "m", REFUSED, 402)
    assert state(made, 402) == "demoted"
    assert since(made.health(A), 410, RULES) == 402
    made.succeeded(A, "m", 403)
    made.succeeded(A, "m", 404)
    assert state(made, 404) == "recovering"


def test_with_reinstatement_after_one_a_demoted_one_is_healthy_at_once() -> None:
    made = board(reinstate_after=1)
    made.failed(A, "m", REFUSED, 0)
    made.succeeded(A, "m", 400)
    assert state(made, 400) == "healthy"


def test_good_probes_bring_back_what_could_not_be_reached() -> None:
    made = ill(REFUSED, at=0)
    made.probed(A, None, 10)
    assert state(made, 10) == "healthy"
    made.failed(A, "m", REFUSED, 20)
    for now in (330, 340, 350):
        assert state(made, now) == ("demoted" if now == 330 else "recovering")
        made.probed(A, None, now)
    assert state(made, 350) == "healthy"


def test_what_a_probe_reached_again_is_tried_by_one_call_at_a_time_until_one_is_served() -> None:
    made = ill(REFUSED, at=0)
    made.probed(A, None, 10)
    assert made.standing(A, "m", 10).open
    trials = made.begin(A, "m", 10)
    assert not made.standing(A, "m", 10).open
    made.settle(trials)
    assert made.standing(A, "m", 10).open
    made.succeeded(A, "m", 11)
    made.begin(A, "m", 11)
    assert made.standing(A, "m", 11).open


@pytest.mark.parametrize(
    "error",
    [STALLED, ServerFailedError("500"), BrokenStreamError("cut"), UnauthorizedError("401")],
    ids=lambda e: e.outcome,
)
def test_a_good_probe_cannot_clear_what_was_reachable_and_failed(error: AttemptError) -> None:
    made = ill(error, at=0)
    for now in range(10, 300, 10):
        made.probed(A, None, now)
        assert state(made, now) == "unhealthy"
    for now in range(310, 400, 10):  # it lets a demoted one have trials, for as long as it takes
        made.probed(A, None, now)
        assert state(made, now) == "recovering"
    assert made.standing(A, "m", 400).open
    made.succeeded(A, "m", 400)
    assert state(made, 400) == "healthy"


def test_the_last_failure_says_whether_a_probe_can_clear_it() -> None:
    made = ill(STALLED, at=0)
    made.failed(A, "m", REFUSED, 10)
    made.probed(A, None, 20)
    assert state(made, 20) == "healthy"


def test_trials_of_one_that_is_reachable_come_ever_less_often() -> None:
    made, now, windows = ill(STALLED, at=0), 0.0, []
    for _ in range(7):
        retry_at = made.health(A).retry_at
        windows.append(retry_at - now)
        now = retry_at
        made.failed(A, "m", STALLED, now)
    assert windows == [WINDOW * 2**n for n in (0, 1, 2, 3, 4, 4, 4)]
    assert MAX_DOUBLINGS == 4


def test_trials_of_one_that_refuses_connections_cost_little_and_come_every_window() -> None:
    made, now = ill(at=0), 0.0
    for _ in range(5):
        now = made.health(A).retry_at
        made.failed(A, "m", REFUSED, now)
        assert made.health(A).retry_at == now + WINDOW


def test_calls_that_fall_together_count_as_one_failure() -> None:
    made = ill(STALLED, at=0)
    for _ in range(32):
        made.failed(A, "m", STALLED, 0.5)
    assert made.health(A).retry_at == 0.5 + WINDOW


def test_a_window_is_never_shortened_by_a_later_failure() -> None:
    made = ill(STALLED, at=0)
    made.failed(A, "m", STALLED, WINDOW)
    made.failed(A, "m", REFUSED, WINDOW + 1)
    assert made.health(A).retry_at == WINDOW + 2 * WINDOW


def test_after_it_was_well_again_the_windows_begin_anew() -> None:
    made = ill(STALLED, at=0)
    made.failed(A, "m", STALLED, 10)
    made.succeeded(A, "m", 50)
    made.failed(A, "m", STALLED, 60)
    assert made.health(A).retry_at == 60 + WINDOW


def test_a_server_that_names_a_longer_time_is_left_alone_so_long() -> None:
    made = board()
    made.failed(A, "m", ServerFailedError("503", retry_after_s=40), 0)
    assert made.health(A).retry_at == 40
    made.failed(B, "m", ServerFailedError("503", retry_after_s=1), 0)
    assert made.health(B).retry_at == WINDOW


@pytest.mark.parametrize(
    "error",
    [RejectedError("400"), ContextTooLongError("long"), OutputInvalidError("bad"), OutOfTimeError("short")],
    ids=lambda e: e.outcome,
)
def test_what_is_nobodys_fault_hurts_nobody(error: AttemptError) -> None:
    made = board()
    made.succeeded(A, "m", 0)
    made.failed(A, "m", error, 1)
    assert made.standing(A, "m", 1).state == "healthy"
    assert made.standing(A, "m", 1).open


@pytest.mark.parametrize("error", [ModelMissingError("none"), ModelUnusableError("broken")], ids=lambda e: e.outcome)
def test_a_fault_of_a_model_hurts_that_model_only(error: AttemptError) -> None:
    made = board()
    made.succeeded(A, "other", 0)
    made.failed(A, "m", error, 1)
    assert state(made, 1, "m") == "unhealthy"
    assert state(made, 1, "other") == "healthy"
    assert state(made, 1) == "healthy"
    assert made.standing(A, "m", 1).error == str(error)


def test_a_dead_endpoint_hurts_all_its_models_and_no_other_endpoint() -> None:
    made = ill()
    assert state(made, 1, "m") == state(made, 1, "other") == "unhealthy"
    assert made.standing(B, "m", 1).state == "unknown"


def test_a_served_call_speaks_for_its_model_and_for_the_endpoint() -> None:
    made = board()
    made.failed(A, "m", ModelMissingError("none"), 0)
    made.failed(A, "m", STALLED, 0)
    made.succeeded(A, "m", 10)
    assert state(made, 10, "m") == "healthy"


def test_a_served_call_says_nothing_of_other_models() -> None:
    made = board()
    made.failed(A, "m", ModelMissingError("none"), 0)
    made.succeeded(A, "other", 10)
    assert state(made, 10, "m") == "unhealthy"


def test_a_probe_that_lists_a_missing_model_brings_it_back() -> None:
    made = board()
    made.failed(A, "m", ModelMissingError("none"), 0)
    made.probed(A, None, 10)
    assert state(made, 10, "m") == "unhealthy"
    made.probed(A, frozenset({"other"}), 20)
    assert state(made, 20, "m") == "unhealthy"
    made.probed(B, frozenset({"m"}), 30)
    assert state(made, 30, "m") == "unhealthy"
    made.probed(A, frozenset({"m"}), 40)
    assert state(made, 40, "m") == "healthy"


def test_a_model_that_is_there_but_cannot_run_is_not_brought_back_by_being_listed() -> None:
    made = board()
    made.failed(A, "m", ModelUnusableError("broken"), 0)
    made.probed(A, frozenset({"m"}), 10)
    assert state(made, 10, "m") == "unhealthy"


def test_a_probe_that_failed_hurts_the_endpoint_whatever_it_blames() -> None:
    made = board()
    made.failed(A, None, ModelMissingError("no such route"), 0)
    assert state(made, 0) == "unhealthy"
    assert made.standing(A, None, 0).error == "no such route"


def test_an_overload_makes_nothing_unhealthy_and_asks_to_be_left_alone() -> None:
    made = board()
    made.succeeded(A, "m", 0)
    made.failed(A, "m", OverloadedError("429", retry_after_s=30), 10)
    standing = made.standing(A, "m", 15)
    assert (standing.state, standing.waiting_s) == ("healthy", 25)
    assert made.standing(A, "m", 40).waiting_s == 0


def test_an_overload_that_names_no_time_is_waited_for_a_moment_and_the_longest_wait_counts() -> None:
    made = board()
    made.failed(A, "m", OverloadedError("429"), 10)
    assert made.standing(A, "m", 10).waiting_s == DEFAULT_WAIT_S
    made.failed(A, "m", OverloadedError("429", retry_after_s=30), 10)
    made.failed(A, "m", OverloadedError("429", retry_after_s=5), 11)
    assert made.standing(A, "m", 20).waiting_s == 20


def test_an_endpoint_that_was_full_is_tried_by_one_call_at_a_time_until_one_is_served() -> None:
    made = board()
    made.succeeded(A, "m", 0)
    made.failed(A, "m", OverloadedError("429"), 10)
    trials = made.begin(A, "m", 12)
    assert trials
    assert not made.standing(A, "m", 12).open
    made.settle(trials)
    made.succeeded(A, "m", 13)
    assert made.begin(A, "m", 14) == frozenset()


def test_a_call_that_began_before_the_failure_proves_nothing_when_it_is_served() -> None:
    made = ill(STALLED, at=50)
    made.succeeded(A, "m", 60, begun=40)  # a server that drains
    assert state(made, 60) == "unhealthy"
    made.succeeded(A, "m", 61, begun=50)
    assert state(made, 61) == "healthy"


def test_a_call_that_began_before_an_overload_proves_nothing_until_the_wait_is_over() -> None:
    made = board()
    made.succeeded(A, "m", 0)
    made.failed(A, "m", OverloadedError("429", retry_after_s=20), 50)
    made.succeeded(A, "m", 60, begun=40)
    assert made.begin(A, "m", 60)
    made.succeeded(A, "m", 70, begun=40)
    assert made.health(A).unproven is False


def test_an_overload_that_is_over_does_not_make_an_old_call_proof_against_a_failure() -> None:
    made = board()
    made.failed(A, "m", OverloadedError("429", retry_after_s=20), 40)
    made.failed(A, "m", STALLED, 50)
    made.succeeded(A, "m", 70, begun=10)
    assert state(made, 70) == "unhealthy"


def test_a_demoted_one_is_not_on_its_way_back_for_a_call_of_old() -> None:
    made = ill(at=0)
    made.succeeded(A, "m", 400, begun=-10)
    assert state(made, 400) == "demoted"


def test_what_only_a_probe_found_well_again_is_not_tried_before_its_window_is_over() -> None:
    made = ill(REFUSED, at=0)
    made.probed(A, None, 1)
    assert state(made, 1) == "healthy"
    assert not made.standing(A, "m", 1).open
    assert made.standing(A, "m", WINDOW).open


def test_a_wait_outlasts_failures_and_successes() -> None:
    made = board()
    made.failed(A, "m", OverloadedError("429", retry_after_s=60), 0)
    made.failed(A, "m", REFUSED, 1)
    made.succeeded(A, "m", 2)
    assert made.standing(A, "m", 10).waiting_s == 50


def test_how_a_model_stands_takes_the_worst_of_its_own_and_of_its_endpoint() -> None:
    made = board()
    made.failed(A, "m", ModelMissingError("none"), 0)
    made.failed(A, "m", OverloadedError("429", retry_after_s=60), WINDOW)
    standing = made.standing(A, "m", WINDOW)
    assert (standing.state, standing.open, standing.waiting_s) == ("unhealthy", True, 60)
    made.failed(A, "m", REFUSED, WINDOW)
    assert not made.standing(A, "m", WINDOW).open


def test_one_trial_at_a_time_uses_an_unhealthy_endpoint() -> None:
    made = ill(at=0)
    now = WINDOW
    trials = made.begin(A, "m", now)
    assert not made.standing(A, "m", now).open
    assert made.begin(A, "other", now) == frozenset()
    made.settle(trials)
    assert made.standing(A, "m", now).open


def test_a_call_that_is_no_trial_does_not_end_another_ones_trial() -> None:
    made = ill(at=0)
    trials = made.begin(A, "m", WINDOW)
    made.settle(made.begin(A, "other", WINDOW))
    assert not made.standing(A, "m", WINDOW).open
    made.settle(trials)
    assert made.standing(A, "m", WINDOW).open


def test_calls_on_a_well_endpoint_are_no_trials() -> None:
    made = board()
    assert made.begin(A, "m", 0) == frozenset()
    made.succeeded(A, "m", 0)
    assert made.begin(A, "m", 1) == frozenset()


def test_the_trial_of_a_model_leaves_other_models_of_the_endpoint_open() -> None:
    made = board()
    made.failed(A, "m", ModelMissingError("none"), 0)
    made.begin(A, "m", WINDOW)
    assert not made.standing(A, "m", WINDOW).open
    assert made.standing(A, "other", WINDOW).open


def test_a_reload_keeps_what_is_known_and_forgets_endpoints_that_are_gone() -> None:
    made = ill(at=0)
    made.failed(B, "m", ModelMissingError("none"), 0)
    assert made.endpoints() == (A, B)
    made.keep([A])
    assert made.endpoints() == (A,)
    assert state(made, 1) == "unhealthy"
    assert made.standing(B, "m", 1).state == "unknown"


def test_the_generation_grows_when_a_state_changes_and_only_then() -> None:
    made = board()
    grown = []

    def note() -> None:
        grown.append(made.generation)

    note()
    made.succeeded(A, "m", 0)  # unknown → healthy
    note()
    made.succeeded(A, "m", 1)
    note()
    made.failed(A, "m", REFUSED, 2)  # → unhealthy
    note()
    made.failed(A, "m", REFUSED, 3)
    note()
    made.failed(A, "m", REFUSED, 400)  # → demoted, by the time that has passed
    note()
    made.succeeded(A, "m", 401)  # → recovering
    note()
    made.succeeded(A, "m", 402)
    note()
    made.succeeded(A, "m", 403)  # → healthy
    note()
    made.failed(A, "m", OverloadedError("429"), 404)
    note()
    assert grown == [0, 1, 1, 2, 2, 3, 4, 4, 5, 5]


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["served", "probe", "refused", "stalled", "overloaded", "nothing"]),
        st.integers(0, 1600).map(lambda quarters: quarters / 4),
    ),
    max_size=30,
)


@given(_EVENTS)
def test_whatever_happens_the_states_follow_the_rules(events: list[tuple[str, float]]) -> None:
    made, now = board(), 0.0
    before: State = "unknown"
    for event, passed in events:
        aged = state(made, now + passed)
        assert aged == before or (before, aged) == ("unhealthy", "demoted")  # what time alone may do
        now += passed
        {
            "served": lambda now: made.succeeded(A, "m", now),
            "probe": lambda now: made.probed(A, None, now),
            "refused": lambda now: made.failed(A, "m", REFUSED, now),
            "stalled": lambda now: made.failed(A, "m", STALLED, now),
            "overloaded": lambda now: made.failed(A, "m", OverloadedError("429"), now),
            "nothing": lambda now: None,
        }[event](now)
        before = follow(made, event, aged, now)


def follow(made: HealthBoard, event: str, was: State, now: float) -> State:
    """Check one step of the table in `health`'s docstring, and return the state it led to."""
    became, health = state(made, now), made.health(A)
    if event in {"refused", "stalled"}:
        assert became in {"unhealthy", "demoted"}
        assert not made.standing(A, "m", now).open
        assert WINDOW <= health.retry_at - now <= WINDOW * 2**MAX_DOUBLINGS
    elif event == "served":
        assert became == ("healthy" if was in {"unknown", "healthy", "unhealthy"} else became)
        assert became in {"healthy", "recovering"}
    elif event == "probe":
        assert became != "demoted"
    else:
        assert became == was
    assert (became in WELL) == (health.failing_since is None)
    assert (became == "recovering") == (health.successes > 0)
    assert (since(health, now, RULES) or 0.0) <= now
    return became


@given(_EVENTS)
def test_whatever_happened_three_served_calls_make_it_healthy(events: list[tuple[str, float]]) -> None:
    made, now = board(), 0.0
    for event, passed in events:
        now += passed
        if event == "probe":
            made.probed(A, None, now)
        elif event in {"refused", "stalled"}:
            made.failed(A, "m", REFUSED if event == "refused" else STALLED, now)
    for _ in range(RULES.reinstate_after):
        made.succeeded(A, "m", now)
    assert state(made, now) == "healthy"
    assert made.begin(A, "m", now) == frozenset()


@given(st.lists(st.booleans(), max_size=40))
def test_no_order_of_calls_gets_two_trials_in_at_once(begins: list[bool]) -> None:
    made, running = ill(at=0), list[frozenset[tuple[Endpoint, str | None]]]()
    for begin in begins:
        if begin:
            if made.standing(A, "m", WINDOW).open:
                running.append(made.begin(A, "m", WINDOW))
        elif running:
            made.settle(running.pop())
        assert len(running) <= 1
        assert made.standing(A, "m", WINDOW).open == (not running)
