"""Follows operators' orders: tenants that are torn down, canaries that start and end. Every process does, by itself.

llama.cpp in this process's own children is out of reach of the command that tears a tenant down, so its cached
prefixes are dropped here, as soon as the order is seen.
"""

from __future__ import annotations

import logging

import anyio

from router_mcp.errors import AttemptError
from router_mcp.router import Router

LOOK_EVERY_S = 0.5
"""Seconds between looks at the files."""

_log = logging.getLogger(__name__)


class Follower:
    """Keeps a router on the orders of its state folder, for as long as `run` runs."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Take new orders, if there are any."""
        before = self._router.orders.orders.epochs
        if not self._router.orders.look():
            return
        _log.info("Operators' orders changed and are in force.")
        if self._router.orders.orders.epochs != before:
            await self._drop_own_caches()

    async def _drop_own_caches(self) -> None:
        fleet = self._router.fleet
        for endpoint in fleet.endpoints():
            if fleet.policy.runtimes[endpoint.runtime].kind == "embedded":
                try:
                    await fleet.runtimes[endpoint.runtime].reset_cache(endpoint)
                except AttemptError as error:
                    _log.error("The cached prefixes of %s were not dropped: %s", endpoint, error)
