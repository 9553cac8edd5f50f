"""Watches canaries while they take traffic, in every router process, and takes it away when they break their limits.

What is judged is what all processes counted. A canary that nobody can use at all is not waited for: the breaker
would keep calls from it, and so its numbers from ever growing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from router_mcp.comparison import breaches
from router_mcp.errors import ConfigError
from router_mcp.operations.canary import LOCK, withdraw
from router_mcp.rollout import Rollout
from router_mcp.router import Router
from router_mcp.state.directory import StateDirectory
from router_mcp.state.files import CANARIES, CanariesFile, read_state, takes_part
from router_mcp.state.window import read_counts

LOOK_EVERY_S = 1.0
UNWELL_FOR_S = 15.0
"""A canary none of whose endpoints could be used for so long is taken back."""

_log = logging.getLogger(__name__)


class Sentinel:
    """Judges the canaries of one router for as long as `run` runs."""

    def __init__(self, router: Router, clock: Callable[[], float]) -> None:
        self._router = router
        self._now = clock
        self._unwell_since: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Add what this process counted, and judge what all did."""
        orders, policy = self._router.orders, self._router.fleet.policy
        live = orders.rollouts(policy)
        orders.write_counts(policy.rollout.window)
        if orders.state is None:
            return
        self._unwell_since = {key: at for key, at in self._unwell_since.items() if key in {r.id for r in live.values()}}
        for rollout in live.values():
            try:
                if reasons := self._reasons(orders.state, rollout):
                    self._withdraw(orders.state, rollout, reasons)
            except ConfigError as error:
                _log.error("The canary of %s cannot be judged: %s", rollout.model, error)

    def _reasons(self, state: StateDirectory, rollout: Rollout) -> tuple[str, ...]:
        rules, wall = self._router.fleet.policy.rollout, self._router.orders.wall()
        model, candidate = (
            read_counts(state, rollout.id, name, wall, rules.window) for name in (rollout.model, rollout.candidate)
        )
        found = breaches(model, candidate, rules)
        unwell_s = self._unwell_s(rollout)
        if unwell_s >= UNWELL_FOR_S:
            found = (*found, f"none of the canary's endpoints could be used for {unwell_s:.0f} s")
        return found

    def _unwell_s(self, rollout: Rollout) -> float:
        """Return for how long no endpoint of a candidate has been of use."""
        fleet, now = self._router.fleet, self._now()
        endpoints = fleet.endpoints_of(fleet.policy.models[rollout.candidate].runtime)
        states = {self._router.board.standing(each, rollout.candidate, now).state for each in endpoints}
        if not states <= {"unhealthy", "demoted"}:
            self._unwell_since.pop(rollout.id, None)
            return 0.0
        return now - self._unwell_since.setdefault(rollout.id, now)

    def _withdraw(self, state: StateDirectory, rollout: Rollout, reasons: tuple[str, ...]) -> None:
        with state.lock_if_free(LOCK) as taken:
            if not taken:
                return  # someone is changing it; there is another look in a second
            canary = read_state(state, CANARIES, CanariesFile).canaries.get(rollout.model)
            if canary is None or canary.id != rollout.id or not takes_part(canary):
                return
            withdraw(state, rollout.model, canary, f"It broke its limits: {'; '.join(reasons)}.")
        _log.error("%s was rolled back: %s.", rollout.candidate, "; ".join(reasons))
        self._router.orders.look()
