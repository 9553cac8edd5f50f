"""What is known of whether constraints fire: an endpoint may take a constraint, answer 200, and ignore it (vLLM B1 #6).

Nothing depends on it, for every answer is checked. It tells operators why answers of a runtime need repairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from router_mcp.domain import Endpoint

Firing: TypeAlias = Literal["enforced", "ignored", "refused", "unproven"]
"""`enforced`: it wrote what only a constrained decoder writes. `refused`: it takes no constraint of this kind."""
_WORST_FIRST: tuple[Firing, ...] = ("ignored", "refused", "unproven", "enforced")


class Proofs:
    """The one owner of what was tried. A server of another version is another server."""

    def __init__(self) -> None:
        self._found: dict[Endpoint, tuple[str | None, Firing]] = {}

    def found(self, endpoint: Endpoint, version: str | None, firing: Firing) -> None:
        """Note what came of trying an endpoint."""
        self._found[endpoint] = version, firing

    def is_known(self, endpoint: Endpoint, version: str | None) -> bool:
        """Tell whether this version of an endpoint was tried."""
        return endpoint in self._found and self._found[endpoint][0] == version

    def of(self, endpoints: Iterable[Endpoint]) -> Firing:
        """Return how it is with the worst of some replicas."""
        known = {self._found[endpoint][1] if endpoint in self._found else "unproven" for endpoint in endpoints}
        return next((firing for firing in _WORST_FIRST if firing in known), "unproven")

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget endpoints that the configuration no longer has."""
        kept = set(endpoints)
        self._found = {endpoint: found for endpoint, found in self._found.items() if endpoint in kept}
