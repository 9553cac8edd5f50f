"""The orders that are in force in this process: tenants' epochs and canaries, as the state files have them.

The book is the one owner. `look` takes two glances at a folder; whoever hosts a router calls it twice a second
(`router_mcp.follow`), and a process that lives for one call has read the files when it began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from router_mcp.config.canaries import essence
from router_mcp.config.policy_file import PolicyFile
from router_mcp.errors import ConfigError
from router_mcp.rollout import NO_ROLLOUTS, Orders, Rollout
from router_mcp.rollout_watch import RolloutWatch
from router_mcp.state.directory import Fingerprint, StateDirectory
from router_mcp.state.files import CANARIES, TENANTS, read_orders
from router_mcp.state.secret import salt_secret
from router_mcp.state.window import add_counts
from router_mcp.tenancy import cache_salt

_log = logging.getLogger(__name__)


class OrderBook:
    """What is in force. Without a state folder there are no canaries, and every tenant is in its first epoch."""

    def __init__(
        self, state: StateDirectory | None = None, secret: str = "", wall: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Read the files; raise `ConfigError` when one is damaged, because a forgotten epoch would undo a teardown.

        `wall` is the clock that processes share, in seconds.
        """
        self.state = state
        self.wall = wall
        self.watch = RolloutWatch()
        self._given = secret
        self._secret = ""
        self._policy: PolicyFile | None = None
        self._live: Mapping[str, Rollout] = NO_ROLLOUTS
        self._seen = self._fingerprints()
        self.orders = read_orders(state) if state else Orders()

    def look(self) -> bool:
        """Read the files again if they changed; tell whether anything did. A damaged file changes nothing."""
        seen = self._fingerprints()
        if self.state is None or seen == self._seen:
            return False
        self._seen = seen
        try:
            self.orders = read_orders(self.state)
        except ConfigError as error:
            _log.error("The last good orders stay in force: %s", error)
            return False
        self._policy = None
        return True

    def salt(self, tenant: str | None) -> str | None:
        """Return the cache salt of a tenant's calls now; `None` for a call of nobody in particular."""
        if not tenant:
            return None
        self._secret = self._secret or salt_secret(self._given, self.state)
        return cache_salt(self._secret, tenant, self.orders.epochs.get(tenant, 0))

    def salt_at(self, tenant: str, epoch: int) -> str:
        """Return the salt that a tenant's calls had in an epoch."""
        self._secret = self._secret or salt_secret(self._given, self.state)
        return cache_salt(self._secret, tenant, epoch)

    def write_counts(self, window: float) -> None:
        """Add what this process counted of canaries to what all processes did; what cannot be written is kept."""
        counted = self.watch.take()
        if not counted or self.state is None:
            return
        windows = {rollout.id: window for rollout in self.orders.rollouts.values()}
        try:
            written = add_counts(self.state, counted, self.wall(), windows)
        except ConfigError as error:
            _log.error("Canaries are not judged by this process's calls: %s", error)
            return
        if not written:
            self.watch.give_back(counted)

    def rollouts(self, policy: PolicyFile) -> Mapping[str, Rollout]:
        """Return the canaries that take part under a policy: it still has them, as they were when they passed."""
        if policy is not self._policy:
            self._policy = policy
            self._live = {model: each for model, each in self.orders.rollouts.items() if _is_live(policy, each)}
            self.watch.follow(self._live)
        return self._live

    def _fingerprints(self) -> tuple[Fingerprint, ...]:
        return tuple(self.state.fingerprint(name) for name in (TENANTS, CANARIES)) if self.state else ()


def _is_live(policy: PolicyFile, rollout: Rollout) -> bool:
    if rollout.model not in policy.models or rollout.candidate not in policy.models:
        return False
    if essence(policy, rollout.candidate) != rollout.essence:
        _log.warning(
            "%s gets no calls: here its settings are not those that passed the smoke suite. Run `router-mcp canary "
            "smoke %s` again, with the policy file and the variables of this process.",
            rollout.candidate,
            rollout.model,
        )
        return False
    return True
