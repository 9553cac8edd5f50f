"""Once a second: how late the event loop is, and how the endpoints are, for those who watch."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from router_mcp.router import Router
from router_mcp.telemetry.base import LoopLagged
from router_mcp.telemetry.history import History

EVERY_S = 1.0


async def keep_lookout(router: Router, history: History, clock: Callable[[], float]) -> None:
    """Tell both until cancelled. A state that changes by time alone, as a demotion does, is seen here."""
    while True:
        due = anyio.current_time() + EVERY_S
        await anyio.sleep(EVERY_S)
        router.telemetry.tell(LoopLagged(seconds=max(0.0, anyio.current_time() - due)))
        now = clock()
        states = [router.board.standing(endpoint, "", now) for endpoint in router.fleet.endpoints()]
        history.observe(
            (endpoint, standing.state, standing.error)
            for endpoint, standing in zip(router.fleet.endpoints(), states, strict=True)
        )
