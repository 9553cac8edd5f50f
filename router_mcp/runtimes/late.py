"""Adapters that are made when they are first asked for: their packages cost a start 0.15 s and 15 MB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router_mcp.runtimes.base import Runtime


class LateRuntime:
    """One adapter, or the way to make it."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._made: Runtime | None = None

    def get(self) -> Runtime:
        """Return the adapter, the same every time."""
        if self._made is None:
            self._made = self._make()
        return self._made

    async def aclose(self) -> None:
        """Close it, if it was ever made."""
        if self._made is not None:
            await self._made.aclose()


class LateRuntimes(Mapping[str, "Runtime"]):
    """Adapters by name."""

    def __init__(self, late: Mapping[str, LateRuntime]) -> None:
        self._late = late

    def __getitem__(self, name: str) -> Runtime:
        return self._late[name].get()

    def __iter__(self) -> Iterator[str]:
        return iter(self._late)

    def __len__(self) -> int:
        return len(self._late)
