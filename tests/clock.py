"""An event loop whose clock jumps to the next timer when nothing is ready, so that minutes cost nothing."""

from __future__ import annotations

import asyncio  # noqa: TID251 - this is the one place that makes a clock
import selectors
from typing import Any

TICK_S = 1e-6
"""What a turn of the loop takes, so that what happens later is later."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        self.skipped += TICK_S
        if ready or timeout == 0:
            return ready
        if timeout is None:  # nothing will ever happen by itself: wait for a thread, but not for ever
            ready = super().select(5)
            if not ready:
                raise RuntimeError("deadlock: every task waits and no timer is set")
            return ready
        self.skipped += timeout
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on a virtual clock; not for real sockets or threads under a timeout.

    The clock moves by turns and jumps alone, so a busy machine changes nothing.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.skipped
