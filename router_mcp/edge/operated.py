"""What a running server does about operators' orders, beside serving calls."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from router_mcp.follow import Follower
from router_mcp.operations.sentinel import Sentinel
from router_mcp.router import Router
from router_mcp.shadow import Shadow


async def obey(router: Router, clock: Callable[[], float]) -> None:
    """Follow tenants and canaries, judge the canaries, and send their copies, until cancelled."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Follower(router).run)
        tasks.start_soon(Sentinel(router, clock).run)
        tasks.start_soon(Shadow(router).run)
