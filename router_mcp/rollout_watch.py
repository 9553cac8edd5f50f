"""What this process sees of canaries: counted for all processes to read, and copied for those in the shadow.

A listener like metrics and spans: it never waits, and costs nothing while no canary takes part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from router_mcp.comparison import Tally
from router_mcp.domain import GenerateRequest
from router_mcp.errors import OutputInvalidError
from router_mcp.rollout import NO_ROLLOUTS, Rollout
from router_mcp.state.window import Tallies
from router_mcp.telemetry.base import Answered, AttemptEnded, AttemptStarted, Event, FirstToken

COPIES = 64
"""Calls that wait to be copied to a shadow; beyond these the oldest is dropped."""
_SAYS_NOTHING = frozenset({"cancelled", "out_of_time", "stood_back"})
"""Outcomes that are the caller's doing or nobody's."""


class RolloutWatch:
    """Telemetry that counts for canaries. `rollouts` says which; numbers of others are not kept."""

    def __init__(self) -> None:
        self._rollouts = NO_ROLLOUTS
        self._canary_of: dict[str, str] = {}
        self._first: dict[str, float] = {}
        self.counted: Tallies = {}
        self.copies: deque[GenerateRequest] = deque(maxlen=COPIES)

    def follow(self, rollouts: Mapping[str, Rollout]) -> None:
        """Count for these canaries from now on."""
        self._rollouts = rollouts
        self._canary_of = {name: each.id for each in rollouts.values() for name in (each.model, each.candidate)}
        if not rollouts:
            self._first.clear()
            self.copies.clear()

    def take(self) -> Tallies:
        """Return what was counted since the last time."""
        counted, self.counted = self.counted, {}
        return counted

    def give_back(self, counted: Tallies) -> None:
        """Keep what could not be written for the next time."""
        for canary, models in counted.items():
            for model, tally in models.items():
                self._tally(canary, model).add(tally)

    def started(self, event: AttemptStarted) -> str | None:
        """Count nothing before it has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Count an attempt, or note an answered call of which the shadow wants a copy."""
        if not self._canary_of:
            return
        if isinstance(event, FirstToken):
            if event.started.model in self._canary_of:
                self._first[event.started.call.request_id] = event.seconds
        elif isinstance(event, AttemptEnded):
            self._attempt(event)
        elif isinstance(event, Answered):
            self._copy(event)

    def _attempt(self, event: AttemptEnded) -> None:
        canary = self._canary_of.get(event.started.model)
        first_s = self._first.pop(event.started.call.request_id, None)
        if canary is None or event.outcome in _SAYS_NOTHING:
            return
        tally = self._tally(canary, event.started.model)
        tally.attempts += 1
        if event.started.call.constraint is not None:
            tally.structured += 1
            tally.invalid += isinstance(event.error, OutputInvalidError)
            tally.failed += event.error is not None and not isinstance(event.error, OutputInvalidError)
        else:
            tally.failed += event.error is not None
        if first_s is not None:
            tally.first_token(first_s)
        written = event.completion.usage.output_tokens if event.completion else 0
        if first_s is not None and written > 1 and event.seconds > first_s:
            tally.tokens += written - 1
            tally.writing_s += event.seconds - first_s

    def _copy(self, event: Answered) -> None:
        rollout = self._rollouts.get(event.result.model)
        if rollout is not None and rollout.shadow and event.request.model is None and rollout.picks(event.request):
            self.copies.append(replace(event.request, model=rollout.candidate, traceparent=None))

    def _tally(self, canary: str, model: str) -> Tally:
        return self.counted.setdefault(canary, {}).setdefault(model, Tally())
