"""How long the machine kept a process from running: what was measured meanwhile says nothing of the router."""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio

LOOK_EVERY_S = 0.02


@dataclass(slots=True)
class Pauses:
    """What a process noticed while `watch` ran in it."""

    longest_s: float = 0.0

    async def watch(self) -> None:
        """Look until cancelled. Time in which this process itself worked is no pause."""
        while True:
            begun, worked = anyio.current_time(), time.process_time()
            await anyio.sleep(LOOK_EVERY_S)
            late_s = anyio.current_time() - begun - LOOK_EVERY_S
            self.longest_s = max(self.longest_s, late_s - (time.process_time() - worked))
