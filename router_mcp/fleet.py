"""The policy in force and the adapters of its runtimes: one immutable value, swapped whole by a reload."""

from __future__ import annotations

from collections.abc import Mapping

from router_mcp.affinity import Ring
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint
from router_mcp.policy import endpoints_of
from router_mcp.replicas import Replicas
from router_mcp.runtimes.base import Runtime


class Fleet:
    """A call keeps the fleet that it began with, so a reload changes nothing under it."""

    __slots__ = ("_all", "_replicas", "_rings", "policy", "runtimes")

    def __init__(self, policy: PolicyFile, runtimes: Mapping[str, Runtime]) -> None:
        self.policy = policy
        self.runtimes = runtimes
        self._replicas = {name: endpoints_of(policy, name) for name in policy.runtimes}
        self._all = dict.fromkeys(endpoint for replicas in self._replicas.values() for endpoint in replicas)
        self._rings: dict[str, Ring] = {}

    def __contains__(self, endpoint: Endpoint) -> bool:
        return endpoint in self._all

    def endpoints(self) -> tuple[Endpoint, ...]:
        """List every endpoint of every runtime, in the order of the file."""
        return tuple(self._all)

    def endpoints_of(self, runtime: str) -> Replicas:
        """List the endpoints of one runtime."""
        return self._replicas[runtime]

    def ring(self, runtime: str) -> Ring:
        """Return the replicas of one runtime on their circle."""
        ring = self._rings.get(runtime)
        if ring is None:
            ring = self._rings[runtime] = Ring(self._replicas[runtime])
        return ring

    def models_on(self, runtime: str) -> tuple[str, ...]:
        """List the catalog's models that a runtime serves."""
        return tuple(name for name, model in self.policy.models.items() if model.runtime == runtime)
