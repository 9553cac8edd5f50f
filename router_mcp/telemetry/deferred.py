"""Listeners that need not hear at once: they are told many facts at a time, off the path of any call.

Counting, remembering and logging a call takes four times the CPU when it is done between everything else, with
nothing of it in the processor's caches, as when a hundred calls are told in a row (benchmarks/telemetry.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from router_mcp.telemetry.base import AttemptStarted, Event, Telemetry

EVERY_S = 0.25
"""How late a listener may hear: a log line, above all. Whoever reads a listener flushes first."""
MOST = 2048
"""Facts that may wait; one more, and all are told at once."""


@dataclass(slots=True)
class Deferred:
    """Telemetry that passes everything on later, in order; for listeners that have no trace to begin."""

    each: tuple[Telemetry, ...]
    _waiting: list[Event] = field(default_factory=list)

    def started(self, event: AttemptStarted) -> str | None:
        """Nobody here begins a trace."""
        return None

    def tell(self, event: Event) -> None:
        """Keep an event for the next flush."""
        self._waiting.append(event)
        if len(self._waiting) >= MOST:
            self.flush()

    def flush(self) -> None:
        """Tell everything that waits, to one listener after the other."""
        waiting, self._waiting = self._waiting, []
        for listener in self.each:
            for event in waiting:
                listener.tell(event)

    async def run(self) -> None:
        """Flush every `EVERY_S` until cancelled."""
        while True:
            await anyio.sleep(EVERY_S)
            if self._waiting:
                self.flush()
