"""What every runtime adapter can do. An adapter knows one wire and nothing of tasks, health or fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from router_mcp.domain import Call, Capabilities, Completion, Endpoint, Listener, Probe


class Runtime(Protocol):
    """One runtime of the configuration, with all its endpoints.

    Every method raises only `router_mcp.errors.AttemptError` for what the other side did, whatever it
    did; cancellation passes through, and closes the connection so that the runtime stops generating.
    """

    @property
    def capabilities(self) -> Capabilities:
        """Which constraints it can be asked for."""
        ...

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Run one call, telling `listener` every piece of text as it arrives.

        Returns only when the runtime said how it finished; the text is what `listener` was told, joined.
        It has no time limits of its own but a short one on connecting: the router cancels it.
        """
        ...

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask an endpoint how it is. Never loads a model, never generates."""
        ...

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Drop every cached prefix of an endpoint; `False` where the runtime has no such thing."""
        ...

    async def aclose(self) -> None:
        """Close connections and end what was started."""
        ...
