"""Canaries as plain data: which calls try a candidate first, and what is known of how it does. Pure.

A candidate is a model of the catalog like any other: it has its own health, its own metrics and its own name in
answers. A rollout only puts it in front of the model that it may replace, for a share of the calls; whatever it
fails to serve goes to that model, so callers never pay for it with an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from router_mcp.domain import GenerateRequest

_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A candidate that takes part in the traffic of a model."""

    id: str
    """Of this canary and no other, so that old numbers never speak for a new one."""
    model: str
    candidate: str
    share: float
    """Part of the calls, 0 to 1."""
    shadow: bool = False
    """Whether callers are served by the model, and the candidate only gets copies."""
    essence: str
    """What the candidate was when it passed its smoke suite; changed since, it takes no part."""

    def picks(self, request: GenerateRequest) -> bool:
        """Tell whether a call is in the share: the same beginning of a conversation always is, or never."""
        opening = request.history[0].content if request.history else request.prompt
        if not opening:
            return False  # a dry run
        parts = (self.id, request.tenant or "", request.system or "", opening)
        digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * _WHOLE


NO_ROLLOUTS: Mapping[str, Rollout] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What operators ordered, and every process obeys: tenants' epochs, and the canaries that take traffic."""

    epochs: Mapping[str, int] = field(default_factory=dict)
    """How often a tenant's cached prefixes were put out of reach; 0 for those that are not here."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """By the model that the candidate may replace."""
