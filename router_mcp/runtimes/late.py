"""Adapters that are made when they are first asked for: their packages cost a start 0.15 s and 15 MB.

One that cannot be made is as good as a runtime that is down: calls go on to the others, and status says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NoReturn

from router_mcp.domain import Capabilities
from router_mcp.errors import ConfigError, UnreachableError

if TYPE_CHECKING:
    from router_mcp.domain import Call, Completion, Endpoint, Listener, Probe
    from router_mcp.runtimes.base import Runtime


class UnmadeRuntime:
    """Stands where an adapter could not be made; each probe tries to make it again."""

    def __init__(self, reason: str, again: Callable[[], Runtime]) -> None:
        self._reason = reason
        self._again = again

    @property
    def capabilities(self) -> Capabilities:
        """Any, for it is not known what it could do."""
        return Capabilities()

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Fail with the reason."""
        self._fail()

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask the endpoint, if the adapter can be made now."""
        try:
            made = self._again()
        except ConfigError as error:
            raise UnreachableError(str(error)) from error
        return await made.probe(endpoint)

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Fail with the reason."""
        self._fail()

    async def aclose(self) -> None:
        """Close nothing."""

    def _fail(self) -> NoReturn:
        raise UnreachableError(self._reason)


class LateRuntime:
    """One adapter, or the way to make it."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._made: Runtime | None = None

    def get(self) -> Runtime:
        """Return the adapter, the same every time."""
        if self._made is None:
            try:
                return self._make_it()
            except ConfigError as error:  # a variable that stops a package, say
                self._made = UnmadeRuntime(str(error), self._make_it)
        return self._made

    def _make_it(self) -> Runtime:
        made = self._made = self._make()
        return made

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
