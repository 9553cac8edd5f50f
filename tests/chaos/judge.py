"""Says what was measured, and whether it was promised; what a busy machine spoilt is measured again."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from tests.chaos.fleet import Fleet
from tests.chaos.machine import Pauses

BUSY_S = 0.05
"""Whoever was kept from running for so long, and perhaps more than once, cannot keep a promise of 100 ms."""
TRIES = 4


class Measured(NamedTuple):
    """A line of the report, and whether what it says was promised."""

    line: str
    kept: bool = True


@dataclass(slots=True)
class Judge:
    """Prints, and remembers what was promised and not kept."""

    fleet: Fleet
    busy_s: float = BUSY_S
    broken: int = 0

    async def judge(self, measure: Callable[[], Awaitable[Measured]]) -> None:
        """Measure, again if a promise was broken while the machine was busy with something else, and print it."""
        for left in reversed(range(TRIES)):
            await self.fleet.restore()
            measured, paused_s = await self._watched(measure)
            if measured.kept or paused_s < self.busy_s or not left:
                break
            self.say(f"  measured again, for the machine stopped us for {paused_s * 1000:.0f} ms: {measured.line}")
        self.broken += not measured.kept
        self.say(f"{measured.line}{'' if measured.kept else '   ← BROKEN'}")

    async def _watched(self, measure: Callable[[], Awaitable[Measured]]) -> tuple[Measured, float]:
        here = Pauses()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.watch)
            measured = await measure()
            tasks.cancel_scope.cancel()
        return measured, max(here.longest_s, await self.fleet.paused_s())

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def ms(seconds: float) -> str:
    """Return a time as the report shows it."""
    return f"{seconds * 1000:.0f} ms"
