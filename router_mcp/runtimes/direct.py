"""Requests on an aiohttp pool, without the layers of httpx on top, which cost more than all that a router decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from router_mcp.runtimes.pool import make_session


class DirectClient:
    """What adapters use of `httpx.AsyncClient` (`wire.Client`), on a pool of its own that is opened by the first call.

    Raises aiohttp's errors, which `wire.foreign_errors` knows. A body that was compressed comes decompressed.
    """

    def __init__(self, *, connect_s: float) -> None:
        self._connect_s = connect_s
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, content: bytes | None = None, headers: Mapping[str, str]
    ) -> AsyncIterator[DirectResponse]:
        """Send a request and yield its answer; what was not read of it by then closes the connection."""
        if self._session is None:
            self._session = make_session(connect_s=self._connect_s)
        async with self._session.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
            yield DirectResponse(response)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


class DirectResponse:
    """What adapters use of `httpx.Response` (`wire.Response`)."""

    __slots__ = ("_content", "headers", "status_code")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status_code = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes: everything that has arrived since the last piece."""
        try:
            async for piece in self._content.iter_any():
                yield piece
        except aiohttp.ClientConnectionError as error:  # which else means that nobody was reached
            raise aiohttp.ClientPayloadError(str(error)) from error
