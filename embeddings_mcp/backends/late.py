"""Backends that are made when they are first asked for: their packages would double the time of a start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embeddings_mcp.backends.base import Backend


class LateBackends(Mapping[str, "Backend"]):
    """Backends by name, each made once, by its way to make it."""

    def __init__(self, ways: Mapping[str, Callable[[], Backend]]) -> None:
        self._ways = ways
        self._made: dict[str, Backend] = {}

    def __getitem__(self, name: str) -> Backend:
        if name not in self._made:
            self._made[name] = self._ways[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ways)

    def __len__(self) -> int:
        return len(self._ways)

    async def aclose(self) -> None:
        """Close those that were ever made."""
        for backend in self._made.values():
            await backend.aclose()
