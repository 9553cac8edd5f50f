"""Asking every endpoint once, at the same time, for commands that have no server to ask."""

from __future__ import annotations

import anyio

from router_mcp.prober import Prober
from router_mcp.router import Router


async def probe_all(router: Router) -> None:
    """Probe every endpoint once; what they say is on the router's health board afterwards."""
    prober = Prober(router, anyio.current_time)
    async with anyio.create_task_group() as tasks:
        for endpoint in router.fleet.endpoints():
            tasks.start_soon(prober.probe, endpoint)
