"""Paired rounds: A, B, A, B …, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.processes import Batch, Measured


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    part: float
    """Of the calls of a full run."""
    quick: bool = False

    def calls(self, full: int, at_once: int = 1) -> int:
        """Return how many calls to make where a full run makes so many; no fewer than are to be in flight."""
        return max(20, at_once, int(full * self.part))


FULL, QUICK = Scale(rounds=5, part=1.0), Scale(rounds=3, part=0.25, quick=True)


class Rounds:
    """What was found of each subject in the same rounds."""

    def __init__(self, found: dict[str, list[Batch]]) -> None:
        self.found = found

    def cpu_ms(self, name: str) -> float:
        """Return the median of CPU per call."""
        return statistics.median(batch.cpu_ms for batch in self.found[name])

    def rate(self, name: str) -> float:
        """Return the median of calls per second."""
        return statistics.median(batch.calls_per_s for batch in self.found[name])

    def p99_ms(self, name: str) -> float:
        """Return the median of the rounds' 99th percentiles."""
        return statistics.median(batch.p99_ms for batch in self.found[name])

    def added(self, name: str, than: str, over: str = "empty") -> float:
        """Return the median ratio of what two add to the CPU of a third."""
        three = zip(self.found[name], self.found[than], self.found[over], strict=True)
        return statistics.median((one.cpu_ms - base.cpu_ms) / (two.cpu_ms - base.cpu_ms) for one, two, base in three)

    def part(self, name: str, of: str, over: str = "empty") -> float:
        """Return the median ratio of what one adds to the CPU of a third, and of all that another takes."""
        three = zip(self.found[name], self.found[of], self.found[over], strict=True)
        return statistics.median((one.cpu_ms - base.cpu_ms) / two.cpu_ms for one, two, base in three)

    def ratio(self, field: str, name: str, than: str) -> float:
        """Return the median ratio of a field of two."""
        pairs = zip(self.found[name], self.found[than], strict=True)
        return float(statistics.median(getattr(one, field) / getattr(two, field) for one, two in pairs))


async def compared(subjects: Sequence[Measured], size: int, *, calls: int, at_once: int, rounds: int) -> Rounds:
    """Measure all in turn, after a batch each that only warms up."""
    found: dict[str, list[Batch]] = {each.name: [] for each in subjects}
    for each in subjects:
        await each.measure(size, calls=min(calls, max(40, at_once)), at_once=at_once)
    for number in range(rounds):
        for each in subjects if number % 2 else reversed(subjects):
            found[each.name].append(await each.measure(size, calls=calls, at_once=at_once))
    return Rounds(found)
