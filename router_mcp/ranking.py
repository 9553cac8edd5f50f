"""The steps of each model as its replicas rank now, kept until something moves one of them.

With a thousand replicas it takes a millisecond to look at each, so only those that moved are looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from router_mcp.board import HealthBoard
from router_mcp.domain import Endpoint
from router_mcp.policy import Step, steps_of
from router_mcp.ranks import Group, Ranks, changes_at, grouped, rank_of
from router_mcp.replicas import Replicas


@dataclass(slots=True)
class _Known:
    """What is known of one model's replicas."""

    version: int = -1
    odd: dict[Endpoint, float] = field(default_factory=dict)
    """Those that something is held against, and until when they rank as they do."""
    ranks: Ranks = field(default_factory=Ranks)
    until: float = math.inf
    groups: tuple[Group, ...] = ()
    steps: dict[tuple[str, bool], tuple[Step, ...]] = field(default_factory=dict)


class Ranking:
    """Looks at a health board for one policy; a new policy gets a new one."""

    def __init__(self, board: HealthBoard) -> None:
        self._board = board
        self._known: dict[tuple[str, str], _Known] = {}

    def steps(self, replicas: Replicas, model: str, role: str, *, canary: bool, now: float) -> tuple[Step, ...]:
        """Return one step for a model's well replicas, and one for each worse kind."""
        runtime = replicas[0].runtime
        known = self._known.get((runtime, model))
        if known is None:
            known = self._known[runtime, model] = _Known()
        if now >= known.until or known.version != self._board.version(runtime):
            self._look(known, replicas, model, now)
        steps = known.steps.get((role, canary))
        if steps is None:
            steps = known.steps[role, canary] = steps_of(model, role, known.groups, canary=canary)
        return steps

    def _look(self, known: _Known, replicas: Replicas, model: str, now: float) -> None:
        """Look at those that moved, or may have changed by time; group all anew if that moved any to another group."""
        board, runtime = self._board, replicas[0].runtime
        due: Iterable[Endpoint] = ()
        if now >= known.until:
            due = [endpoint for endpoint, until in known.odd.items() if now >= until]
        first = {group.first for group in known.groups}
        stale = not first
        for endpoint in dict.fromkeys((*due, *board.moved(runtime, known.version))):
            if endpoint in replicas:
                stale |= self._rank(known, endpoint, model, now) or endpoint in first
        known.version = board.version(runtime)
        known.until = min(known.odd.values(), default=math.inf)
        if stale:
            known.groups = grouped(replicas, known.ranks, lambda each: board.standing(each, model, now))
            known.steps.clear()

    def _rank(self, known: _Known, endpoint: Endpoint, model: str, now: float) -> bool:
        """Note how one replica ranks now; tell whether that is news."""
        board = self._board
        if not board.is_odd(endpoint, model, now):
            known.odd.pop(endpoint, None)
            return known.ranks.put(endpoint.url, 0)
        known.odd[endpoint] = min(changes_at(board.health(endpoint, name), now, board.rules) for name in (None, model))
        return known.ranks.put(endpoint.url, rank_of(board.standing(endpoint, model, now)))
