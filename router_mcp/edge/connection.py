"""HTTP connections that nobody can hold for nothing: a time limit for request heads, and a limit on their number.

uvicorn has neither: a connection that sends nothing, or a byte at a time, stays for ever, and enough of them use
up the process's files, its own connections to the runtimes included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio  # noqa: TID251 - uvicorn's protocols are asyncio's

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with limits; make one for a server with `bounded_protocol`."""

    head_s: float
    max_connections: int
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn types it
        """Begin a connection, or turn it away when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that began must be complete in time, whatever else comes meanwhile."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._forget_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_s, self._too_slow)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self.transport.close()


def bounded_protocol(*, head_s: float, max_connections: int) -> type[BoundedProtocol]:
    """Return the protocol class with these limits, for uvicorn's `http`."""
    limits: dict[str, Any] = {"head_s": head_s, "max_connections": max_connections}
    return type("Protocol", (BoundedProtocol,), limits)
