"""Constraints that an engine fell over: not sent there again for a while, whoever asks (issue 4; vLLM #17248, #54003).

Only what an engine has never answered is suspected, for a schema that is in steady use did not do it. One coincidence
may be chance, such as a restart in the middle of a call: a suspect is kept for last, and sent when no other candidate
is left, so that an outage never costs a caller an answer. Two coincidences are a verdict: it is not sent at all. What
a quarantine protects is a runtime, all its replicas: the next would fall over the same schema.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from router_mcp.errors import QuarantinedError

FIRST_S: Final = 60.0
"""Seconds of a first quarantine, about as long as an engine needs to come back;"""
GROWTH: Final = 4
"""each further one is so many times as long,"""
LONGEST_S: Final = 3600.0
"""up to this."""
ENOUGH: Final = 2
"""Coincidences after which it is not sent even when no other candidate is left."""
SUSPECTS: Final = 256
"""Constraints that are remembered as suspects, over all runtimes; of more, those held longest ago are forgotten."""
PROVEN: Final = 2048
"""Constraints that are remembered as answered."""

Key: TypeAlias = tuple[str, str]
"""A runtime's name and a prepared constraint's key."""


@dataclass(frozen=True, slots=True)
class _Case:
    times: int
    noted: float
    until: float


class Quarantine:
    """The one owner of what is known of constraints and engines; synchronous, and bounded in memory."""

    def __init__(self) -> None:
        self._cases: OrderedDict[Key, _Case] = OrderedDict()
        self._proven: OrderedDict[Key, None] = OrderedDict()

    def refuse(self, runtime: str, key: str, now: float, *, insists: bool = False) -> None:
        """Raise `QuarantinedError` while a constraint is not to be sent to a runtime.

        `insists` a call that has tried this runtime, or has nobody else left: a mere suspect is sent for it.
        """
        case = self._cases.get((runtime, key))
        if case is not None and now < case.until and not (insists and case.times < ENOUGH):
            left = case.until - now
            error = QuarantinedError(
                f"{runtime} failed while it worked on this constraint for the first time, and is not asked for it "
                f"again for {math.ceil(left)} s. Simplify the constraint, use another model, or wait.",
                retry_after_s=left,
            )
            error.proven = case.times >= ENOUGH
            raise error

    def failed(self, runtime: str, key: str, now: float, *, begun: float, died: bool = True) -> None:
        """Note that an engine that was well when a call began failed with this constraint.

        Calls that were under way together fail together, which is one coincidence. One that did not die may have
        been slow for any reason, so silence raises a suspicion and never more.
        """
        before = self._cases.get((runtime, key))
        if (runtime, key) in self._proven or (before and begun < before.noted):
            return
        times = before.times if before else 0
        times = times + 1 if died else max(times, ENOUGH - 1)
        self._cases[runtime, key] = _Case(times, now, now + min(LONGEST_S, FIRST_S * GROWTH ** (times - 1)))
        self._cases.move_to_end((runtime, key))
        if len(self._cases) > SUSPECTS:
            self._cases.popitem(last=False)

    def answered(self, runtime: str, key: str) -> None:
        """Note that an engine came to the end of an answer with this constraint, right or wrong: it did no harm."""
        self._cases.pop((runtime, key), None)
        self._proven[runtime, key] = None
        self._proven.move_to_end((runtime, key))
        if len(self._proven) > PROVEN:
            self._proven.popitem(last=False)
