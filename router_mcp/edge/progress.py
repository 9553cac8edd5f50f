"""Progress while a model works: a sign of life at once and every few seconds, more often while tokens arrive.

Clients give up on silent calls within 5 to 60 s, and some wait longer as long as progress comes (mcp-sdk.md
3.4). The protocol wants values that rise with every report, a bounded rate, and nothing after the result.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from router_mcp.edge.groups import sole_error
from router_mcp.edge.lowlevel import may_hear_progress

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

_log = logging.getLogger(__name__)

HEARTBEAT_S = 4.0
"""Longest silence; the contract says at most 5 s."""
THROTTLE_S = 0.5
"""Shortest time between two reports."""


class ProgressSource(Protocol):
    """Where a call stands. Both are read often, so they must be cheap."""

    @property
    def count(self) -> float:
        """How far it got: tokens received, say. It may fall, as when another model begins anew."""
        ...

    def describe(self) -> str:
        """Say in a few words what is going on: `waiting, position 2` or `phi3-mini-4k: 120 tokens`."""
        ...


@asynccontextmanager
async def heartbeats(
    ctx: Context[Any, Any],
    source: ProgressSource,
    *,
    every_s: float = HEARTBEAT_S,
    throttle_s: float = THROTTLE_S,
) -> AsyncGenerator[None]:
    """Report progress while the body runs, if the caller asked for it; the body never notices.

    What the body raises comes out as it is, not in an exception group. A client that does not read, or is
    gone, costs nothing: reports block or fail on their own and end with the body.
    """
    if not may_hear_progress(ctx):
        yield
        return
    with sole_error():
        async with anyio.create_task_group() as group:
            group.start_soon(_beat, ctx, source, every_s, throttle_s)
            yield
            group.cancel_scope.cancel()


async def _beat(ctx: Context[Any, Any], source: ProgressSource, every_s: float, throttle_s: float) -> None:
    value, last, due = -1.0, None, 0.0
    try:
        while True:
            now = (source.count, source.describe())
            if now != last or anyio.current_time() >= due:
                value, last, due = max(now[0], value + 1), now, anyio.current_time() + every_s
                await ctx.report_progress(value, message=now[1])
            await anyio.sleep(min(throttle_s, every_s))
    except Exception:  # noqa: BLE001 - a courtesy: whatever breaks it must not cost the call its answer
        _log.exception("progress reports stopped")
