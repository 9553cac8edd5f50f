"""How well endpoints and their models are: pure rules, and the one board that remembers. No clock, no I/O.

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

from collections.abc import Iterable
from dataclasses import dataclass, replace

from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import Endpoint, State
from router_mcp.errors import AttemptError, ModelMissingError, OverloadedError, UnreachableError

Key = tuple[Endpoint, str | None]
"""An endpoint, or (with a name) one model on it."""
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


class HealthBoard:
    """The only owner of health. Every method is synchronous, so no one sees half a change."""

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.generation = 0
        """Grows with every change of a state that is noticed, so that pages know when they are stale."""
        self._health: dict[Key, Health] = {}
        self._states: dict[Key, State] = {}
        self._trials: set[Key] = set()

    def health(self, endpoint: Endpoint, model: str | None = None) -> Health:
        """Return what is remembered of an endpoint, or of one model on it."""
        return self._health.get((endpoint, model), UNSEEN)

    def standing(self, endpoint: Endpoint, model: str | None, now: float) -> Standing:
        """Return how one model on an endpoint stands, or (with no model) the endpoint: the worse of the two rules."""
        whole, own = self._standing((endpoint, None), now), self._standing((endpoint, model), now)
        worse = max(own, whole, key=_badness)
        return replace(worse, open=own.open and whole.open, waiting_s=max(own.waiting_s, whole.waiting_s))

    def _standing(self, key: Key, now: float) -> Standing:
        health = self._health.get(key)
        if health is None:
            return Standing(state="unknown")
        state = state_of(health, now, self.rules)
        return Standing(
            state=state,
            open=is_free(health, now, self.rules) or (now >= health.retry_at and key not in self._trials),
            waiting_s=max(0.0, health.wait_until - now),
            error=health.error,
        )

    def begin(self, endpoint: Endpoint, model: str, now: float) -> frozenset[Key]:
        """Note that a call starts, and return the trials that it is; hand them back to `settle`."""
        keys = [key for key in ((endpoint, None), (endpoint, model)) if not is_free(self.health(*key), now, self.rules)]
        trials = frozenset(keys) - self._trials
        self._trials |= trials
        return trials

    def settle(self, trials: Iterable[Key]) -> None:
        """End trials, whatever came of them: also when the caller went away."""
        self._trials.difference_update(trials)

    def succeeded(self, endpoint: Endpoint, model: str, now: float, *, begun: float | None = None) -> None:
        """Record a served call that began at `begun` (or just now): it speaks for the endpoint and for the model."""
        begun = now if begun is None else begun
        self._put((endpoint, None), after_success(self.health(endpoint), now, self.rules, begun=begun), now)
        if (endpoint, model) in self._health:
            health = after_success(self.health(endpoint, model), now, self.rules, begun=begun)
            self._put((endpoint, model), health, now)

    def failed(self, endpoint: Endpoint, model: str | None, error: AttemptError, now: float) -> None:
        """Record a failure where its class puts the blame; an overload only asks to wait.

        A probe that failed names no model: then whatever is blamed is the endpoint's.
        """
        if isinstance(error, OverloadedError):
            self._health[(endpoint, None)] = after_overload(self.health(endpoint), error, now)
        elif error.blames != "nobody":
            key = (endpoint, model if error.blames == "model" else None)
            self._put(key, after_failure(self.health(*key), error, now, self.rules), now)

    def probed(self, endpoint: Endpoint, models: frozenset[str] | None, now: float) -> None:
        """Record that an endpoint answered a probe, and which models it says it has."""
        self._put((endpoint, None), after_success(self.health(endpoint), now, self.rules, begun=None), now)
        for key, health in list(self._health.items()):
            missing = health.outcome == ModelMissingError.outcome
            if key[0] == endpoint and key[1] is not None and missing and models and key[1] in models:
                self._put(key, after_success(health, now, self.rules, begun=None), now)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """List every endpoint that something is remembered of."""
        return tuple(dict.fromkeys(endpoint for endpoint, _ in self._health))

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget endpoints that the configuration no longer has; keep all else through a reload."""
        kept = set(endpoints)
        self._health = {key: health for key, health in self._health.items() if key[0] in kept}
        self._states = {key: state for key, state in self._states.items() if key[0] in kept}

    def _put(self, key: Key, health: Health, now: float) -> None:
        self._health[key] = health
        state = state_of(health, now, self.rules)
        if self._states.get(key, "unknown") != state:
            self._states[key] = state
            self.generation += 1


def _badness(standing: Standing) -> int:
    return _ORDER.index(standing.state)
