"""How well endpoints and their models are: the rules. Pure; the board that remembers is `router_mcp.board`.

    event                                    from                        becomes
    a failure that blames it                 any                         unhealthy, since its first failure
    time: unhealthy > demote_after           unhealthy                   demoted (computed, no timer)
    a served call                            unknown, unhealthy          healthy
    a good probe                             unknown, unreachable        healthy
    a success                                demoted, recovering         recovering; healthy after reinstate_after
    a failure                                recovering                  demoted again

Two clocks: a failed endpoint is left alone for `retry_after` seconds (the breaker; longer after each trial that
fails), then one trial at a time may use it; the `demote_after` rule is the policy's. Blame decides which key is
hurt: an endpoint, or one model on it. A good probe speaks only for what it saw: it cannot by itself clear an
endpoint that was reachable and failed (vLLM's `/health` answers 200 while the engine is frozen, B1 #5). It only
lets a demoted one have trials again; a call that is served clears it, if it began after the failure: a server that
drains serves what it has and refuses what comes (vLLM B1 #4).

An overload is nobody's fault and makes nothing unhealthy. But an endpoint that was full, and one that only a probe
found well again, is unproven: one call at a time uses it until one is served, so that no wave is lost on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import State
from router_mcp.errors import AttemptError, ModelMissingError, OverloadedError, UnreachableError

DEFAULT_WAIT_S = 1.0
"""How long an overloaded endpoint is left alone when it does not say."""
WELL: frozenset[State] = frozenset({"healthy", "unknown"})
MAX_DOUBLINGS = 4
"""Trials that only a call can make come at most `2 ** MAX_DOUBLINGS` windows apart."""
_TOLD_BY_PROBES = (UnreachableError, ModelMissingError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is remembered of one key. Times are on the router's monotonic clock."""

    seen: bool = False
    failing_since: float | None = None
    changed_at: float | None = None
    successes: int = 0
    retry_at: float = 0.0
    wait_until: float = 0.0
    unproven: bool = False
    """Whether it was full or out of reach, and has served nobody since: then one call at a time finds out."""
    hurt_at: float = float("-inf")
    """When it last failed or was full: a call that began before proves nothing of what came after."""
    told_by_probes: bool = False
    """Whether probes see what is wrong; if not, only a served call clears it."""
    failed_trials: int = 0
    """Trials in a row that failed, after the failure that began it."""
    error: str | None = None
    outcome: str | None = None


UNSEEN = Health()


def state_of(health: Health, now: float, rules: HealthRules) -> State:
    """Return the state that a key is in at `now`."""
    if health.failing_since is None:
        return "healthy" if health.seen else "unknown"
    if health.successes:
        return "recovering"
    return "demoted" if now - health.failing_since > rules.demote_after else "unhealthy"


def since(health: Health, now: float, rules: HealthRules) -> float | None:
    """Return when the present state began; `None` when nothing was seen yet."""
    if state_of(health, now, rules) == "demoted" and health.failing_since is not None:
        return max(health.failing_since + rules.demote_after, health.changed_at or 0.0)
    return health.changed_at


def after_failure(health: Health, error: AttemptError, now: float, rules: HealthRules) -> Health:
    """Return the health after a failure that blames this key."""
    fresh = health.failing_since is None
    told_by_probes = isinstance(error, _TOLD_BY_PROBES)
    # One fall fails every call in flight at once; only a failure after the window is that of a trial.
    failed_trials = 0 if fresh else health.failed_trials + (now >= health.retry_at)
    # A refused connection costs the next trial nothing; silence may cost it seconds, so it is tried less often.
    patience = rules.retry_after * (1 if told_by_probes else 2 ** min(failed_trials, MAX_DOUBLINGS))
    return Health(
        seen=True,
        failing_since=now if fresh else health.failing_since,
        changed_at=now if fresh or health.successes else health.changed_at,
        retry_at=max(health.retry_at, now + patience, now + (error.retry_after_s or 0.0)),
        wait_until=health.wait_until,
        unproven=health.unproven,
        hurt_at=now,
        told_by_probes=told_by_probes,
        failed_trials=failed_trials,
        error=str(error),
        outcome=error.outcome,
    )


def after_overload(health: Health, error: OverloadedError, now: float) -> Health:
    """Return the health after an answer that it is full: nobody's fault, but it is to be left alone for a while."""
    wait = DEFAULT_WAIT_S if error.retry_after_s is None else error.retry_after_s
    return replace(health, wait_until=max(health.wait_until, now + wait), unproven=True, hurt_at=now)


def after_success(health: Health, now: float, rules: HealthRules, *, begun: float | None) -> Health:
    """Return the health after a served call that began at `begun`, or (`None`) after a good probe."""
    state = state_of(health, now, rules)
    served = begun is not None and _proves(health, begun, now)
    if state == "healthy":
        return replace(health, unproven=False) if served and health.unproven else health
    if begun is not None and not served:
        return health
    clears = served or state == "unknown" or health.told_by_probes
    if state == "unhealthy" and not clears:
        return health
    if state in {"demoted", "recovering"} and (health.successes + 1 < rules.reinstate_after or not clears):
        changed = health.changed_at if health.successes else now
        return replace(health, successes=health.successes + 1, changed_at=changed)
    well = Health(seen=True, changed_at=now, wait_until=health.wait_until, hurt_at=health.hurt_at)
    if served or (state == "unknown" and not health.unproven):
        return well
    return replace(well, unproven=True, retry_at=health.retry_at)


def _proves(health: Health, begun: float, now: float) -> bool:
    """Tell whether a served call is news: it began since the last trouble, or ended when an overload was over."""
    if health.failing_since is None and health.hurt_at <= health.wait_until <= now:
        return True
    return begun >= health.hurt_at


def is_free(health: Health, now: float, rules: HealthRules) -> bool:
    """Tell whether any number of calls may use it; otherwise one trial at a time may, after the breaker's window."""
    return state_of(health, now, rules) in WELL and not health.unproven


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What routing needs to know of one model on one endpoint, now."""

    state: State
    open: bool = True
    """Whether a call may use it now: false while the breaker's window lasts or another trial runs."""
    waiting_s: float = 0.0
    """Seconds that it asked to be left alone (429)."""
    error: str | None = None


_ORDER: tuple[State, ...] = ("unknown", "healthy", "recovering", "unhealthy", "demoted")
"""From what is no reason for concern to what is last."""


def standing_of(health: Health, now: float, rules: HealthRules, *, tried: bool) -> Standing:
    """Return how a key stands by itself; `tried` while a trial of it runs."""
    return Standing(
        state=state_of(health, now, rules),
        open=is_free(health, now, rules) or (now >= health.retry_at and not tried),
        waiting_s=max(0.0, health.wait_until - now),
        error=health.error,
    )


def worse(one: Standing, other: Standing) -> Standing:
    """Return how that stands which depends on both; of two that are as bad, the first says why."""
    state = max(one, other, key=lambda each: _ORDER.index(each.state))
    return replace(state, open=one.open and other.open, waiting_s=max(one.waiting_s, other.waiting_s))


def is_plain(health: Health, now: float) -> bool:
    """Tell whether nothing is held against it, now and until something happens."""
    return health.failing_since is None and not health.unproven and health.wait_until <= now
