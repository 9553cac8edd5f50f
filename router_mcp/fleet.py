"""The policy in force and the adapters of its runtimes: one immutable value, swapped whole by a reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint
from router_mcp.policy import endpoints_of
from router_mcp.runtimes.base import Runtime


@dataclass(frozen=True, slots=True)
class Fleet:
    """A call keeps the fleet that it began with, so a reload changes nothing under it."""

    policy: PolicyFile
    runtimes: Mapping[str, Runtime]

    def endpoints(self) -> tuple[Endpoint, ...]:
        """List every endpoint of every runtime, in the order of the file."""
        return tuple(endpoint for name in self.policy.runtimes for endpoint in endpoints_of(self.policy, name))

    def endpoints_of(self, runtime: str) -> tuple[Endpoint, ...]:
        """List the endpoints of one runtime."""
        return endpoints_of(self.policy, runtime)

    def models_on(self, runtime: str) -> tuple[str, ...]:
        """List the catalog's models that a runtime serves."""
        return tuple(name for name, model in self.policy.models.items() if model.runtime == runtime)
