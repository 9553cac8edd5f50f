"""The one board that remembers how endpoints and their models are. No clock, no I/O; the rules are in `health`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import Endpoint, State
from router_mcp.errors import AttemptError, ModelMissingError, OverloadedError
from router_mcp.health import (
    UNSEEN,
    Health,
    Standing,
    after_failure,
    after_overload,
    after_success,
    is_free,
    is_plain,
    standing_of,
    state_of,
    worse,
)

Key: TypeAlias = tuple[Endpoint, str | None]
"""An endpoint, or (with a name) one model on it."""
_UNKNOWN = Standing(state="unknown")
_HEALTHY = Standing(state="healthy")
_REMEMBERED = 512
"""Moves that are remembered of each runtime; who has missed more looks at everything."""


class HealthBoard:
    """The only owner of health. Every method is synchronous, so no one sees half a change."""

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.generation = 0
        """Grows with every change of a state that is noticed, so that pages know when they are stale."""
        self._health: dict[Key, Health] = {}
        self._states: dict[Key, State] = {}
        self._trials: set[Key] = set()
        self._odd: set[Key] = set()
        """The keys that something is held against: all others stand alike, and need no look."""
        self._versions: Counter[str] = Counter()
        self._moved: dict[str, deque[Endpoint]] = {}

    def health(self, endpoint: Endpoint, model: str | None = None) -> Health:
        """Return what is remembered of an endpoint, or of one model on it."""
        return self._health.get((endpoint, model), UNSEEN)

    def version(self, runtime: str) -> int:
        """Return a number that grows with everything that moves a replica of a runtime, but for time."""
        return self._versions[runtime]

    def moved(self, runtime: str, version: int) -> Iterable[Endpoint]:
        """List the endpoints of a runtime that something moved since a version, or more of them."""
        moved = self._moved.get(runtime, deque())
        count = self._versions[runtime] - version
        if count > len(moved):
            return {endpoint for endpoint, _ in self._health if endpoint.runtime == runtime}
        return islice(reversed(moved), count)

    def is_odd(self, endpoint: Endpoint, model: str | None, now: float) -> bool:
        """Tell whether anything is held against an endpoint or a model on it; if not, it stands as all others do."""
        return self._is_odd((endpoint, None), now) or self._is_odd((endpoint, model), now)

    def _is_odd(self, key: Key, now: float) -> bool:
        return key in self._odd and not is_plain(self._health[key], now)

    def standing(self, endpoint: Endpoint, model: str | None, now: float) -> Standing:
        """Return how one model on an endpoint stands, or (with no model) the endpoint: the worse of the two rules."""
        if not self.is_odd(endpoint, model, now):
            return _HEALTHY if self.health(endpoint).seen or self.health(endpoint, model).seen else _UNKNOWN
        return worse(self._standing((endpoint, model), now), self._standing((endpoint, None), now))

    def _standing(self, key: Key, now: float) -> Standing:
        return standing_of(self.health(*key), now, self.rules, tried=key in self._trials)

    def begin(self, endpoint: Endpoint, model: str, now: float) -> frozenset[Key]:
        """Note that a call starts, and return the trials that it is; hand them back to `settle`."""
        if not self.is_odd(endpoint, model, now):
            return frozenset()
        keys = [key for key in ((endpoint, None), (endpoint, model)) if not is_free(self.health(*key), now, self.rules)]
        trials = frozenset(keys) - self._trials
        if trials:
            self._trials |= trials
            self._note(endpoint)
        return trials

    def settle(self, trials: Iterable[Key]) -> None:
        """End trials, whatever came of them: also when the caller went away."""
        for key in trials:
            self._trials.discard(key)
            self._note(key[0])

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
            self._put((endpoint, None), after_overload(self.health(endpoint), error, now), now)
        elif error.blames != "nobody":
            key = (endpoint, model if error.blames == "model" else None)
            self._put(key, after_failure(self.health(*key), error, now, self.rules), now)

    def probed(self, endpoint: Endpoint, models: frozenset[str] | None, now: float) -> None:
        """Record that an endpoint answered a probe, and which models it says it has."""
        self._put((endpoint, None), after_success(self.health(endpoint), now, self.rules, begun=None), now)
        for key in [(endpoint, name) for name in models or ()]:
            health = self.health(*key)
            if health.outcome == ModelMissingError.outcome:
                self._put(key, after_success(health, now, self.rules, begun=None), now)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """List every endpoint that something is remembered of."""
        return tuple(dict.fromkeys(endpoint for endpoint, _ in self._health))

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget endpoints that the configuration no longer has; keep all else through a reload."""
        kept = set(endpoints)
        self._health = {key: health for key, health in self._health.items() if key[0] in kept}
        self._states = {key: state for key, state in self._states.items() if key[0] in kept}
        self._odd = {key for key in self._odd if key[0] in kept}

    def _put(self, key: Key, health: Health, now: float) -> None:
        if self._health.get(key) is health:
            return
        self._health[key] = health
        self._note(key[0])
        if is_plain(health, now):
            self._odd.discard(key)
        else:
            self._odd.add(key)
        state = state_of(health, now, self.rules)
        if self._states.get(key, "unknown") != state:
            self._states[key] = state
            self.generation += 1

    def _note(self, endpoint: Endpoint) -> None:
        """Let those who look know what moved."""
        self._versions[endpoint.runtime] += 1
        self._moved.setdefault(endpoint.runtime, deque(maxlen=_REMEMBERED)).append(endpoint)
