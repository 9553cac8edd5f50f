"""How replicas rank by their health, and until when that holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from router_mcp.config.policy_file import HealthRules
from router_mcp.domain import Endpoint
from router_mcp.health import WELL, Health, Standing
from router_mcp.replicas import Replicas

SHORT_WAIT_S = 5.0
"""An endpoint that asks for no more is waited for before one that failed is tried."""
DOUBTFUL = 2
"""The rank of a replica that failed lately; those of demoted ones are higher."""


class Ranks:
    """How the replicas of one runtime rank, by URL; those that were never put here rank 0, and may be used now."""

    __slots__ = ("_ranks", "_urls")

    def __init__(self, ranks: Mapping[str, int] | None = None) -> None:
        self._ranks: dict[str, int] = {}
        self._urls: dict[int, set[str]] = {}
        for url, rank in (ranks or {}).items():
            self.put(url, rank)

    def put(self, url: str, rank: int) -> bool:
        """Note how a replica ranks, and tell whether that is news."""
        before = self._ranks.pop(url, 0)
        if before:
            self._urls[before].discard(url)
        if rank:
            self._ranks[url] = rank
            self._urls.setdefault(rank, set()).add(url)
        return rank != before

    def worse(self) -> list[tuple[int, Set[str]]]:
        """List the URLs of each rank but 0, best first."""
        return sorted((rank, urls) for rank, urls in self._urls.items() if urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Replicas of one model that are equally well; how the first one stands says it for all."""

    rank: int
    replicas: Replicas
    first: Endpoint
    standing: Standing


def rank_of(standing: Standing) -> int:
    """Return how far back a standing puts a replica: 0 may be used now, and `DOUBTFUL` and beyond may not serve.

    One that is merely full is alive, so a short wait for it comes before a try of one that failed.
    """
    if standing.waiting_s > SHORT_WAIT_S:
        return 4
    if standing.state == "demoted":
        return 3
    if standing.open and not standing.waiting_s:
        return 0
    return 1 if standing.state in WELL else DOUBTFUL


def grouped(replicas: Replicas, ranks: Ranks, standing: Callable[[Endpoint], Standing]) -> tuple[Group, ...]:
    """Return the replicas of a runtime in groups, best first."""
    worse = ranks.worse()
    parts = zip((0, *(rank for rank, _ in worse)), replicas.split(urls for _, urls in worse), strict=True)
    firsts = [(rank, part, part[0]) for rank, part in parts if part]
    return tuple(Group(rank=rank, replicas=part, first=each, standing=standing(each)) for rank, part, each in firsts)


def changes_at(health: Health, now: float, rules: HealthRules) -> float:
    """Return the next moment at which a standing changes by time alone, the whole seconds of a wait included."""
    moments = [health.retry_at]
    if (wait_s := health.wait_until - now) > 0:
        moments.append(health.wait_until - (math.ceil(wait_s) - 1))
    if health.failing_since is not None and now - health.failing_since <= rules.demote_after:
        moments.append(max(health.failing_since + rules.demote_after, math.nextafter(now, math.inf)))
    return min((moment for moment in moments if moment > now), default=math.inf)
