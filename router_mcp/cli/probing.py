"""Asking every endpoint once, at the same time, for commands that have no server to ask."""

from __future__ import annotations

import anyio

from router_mcp.domain import Endpoint
from router_mcp.errors import RouterError
from router_mcp.prober import Prober
from router_mcp.router import Router


async def probe_all(router: Router) -> dict[Endpoint, float]:
    """Probe every endpoint once; what they say is on the router's health board afterwards.

    Returns the seconds that those which answered took.
    """
    prober = Prober(router, anyio.current_time)
    took: dict[Endpoint, float] = {}

    async def ask(endpoint: Endpoint) -> None:
        begun = anyio.current_time()
        if not isinstance(await prober.probe(endpoint), RouterError):
            took[endpoint] = anyio.current_time() - begun

    async with anyio.create_task_group() as tasks:
        for endpoint in router.fleet.endpoints():
            tasks.start_soon(ask, endpoint)
    return took
