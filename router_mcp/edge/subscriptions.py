"""Change notifications for resources, to clients of both eras.

2026-07-28 clients hold a `subscriptions/listen` stream that a bus feeds; older ones send
`resources/subscribe` and hear on their connection. `changed` is a plain call, so that whoever owns the
state can say so in the middle of a synchronous change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from mcp.types import EmptyResult, SubscribeRequestParams, SubscriptionsListenRequestParams, UnsubscribeRequestParams

from router_mcp.edge.lowlevel import lowlevel

if TYPE_CHECKING:
    from mcp.server.connection import Connection
    from mcp.server.context import ServerRequestContext
    from mcp.server.mcpserver import MCPServer

PAUSE_S = 0.2
"""Least time between two rounds of notifications: a burst of changes is one."""
_SLOW_CLIENT_S = 1.0
_MOST_URIS = 64
"""Resources that one older connection may subscribe to."""


class ResourceChanges:
    """Tells subscribed clients which resources changed. One per server; `publish_forever` must run."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._older: dict[Connection, set[str]] = {}
        self._pending: set[str] = set()
        self._tools_pending = False
        self._wake = anyio.Event()

    def attach(self, server: MCPServer[Any]) -> None:
        """Serve the subscription requests of `server`."""
        low = lowlevel(server)
        low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    def changed(self, uri: str) -> None:
        """Note that a resource changed; its subscribers hear of it within `PAUSE_S`."""
        self._pending.add(uri)
        self._wake.set()

    def tools_changed(self) -> None:
        """Note that the tools' schemas changed, as on a reload of the policy."""
        self._tools_pending = True
        self._wake.set()

    def close(self) -> None:
        """End every listen stream in order, so that its client knows that it was meant."""
        self._listen.close()

    async def publish_forever(self) -> None:
        """Tell subscribers what changed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            uris, self._pending = self._pending, set()
            tools, self._tools_pending = self._tools_pending, False
            for uri in sorted(uris):
                await self._publish(uri)
            if tools:
                await self._bus.publish(ToolsListChanged())
            await anyio.sleep(PAUSE_S)

    async def _publish(self, uri: str) -> None:
        await self._bus.publish(ResourceUpdated(uri=uri))
        async with anyio.create_task_group() as group:
            for connection in [older for older, uris in self._older.items() if uri in uris]:
                group.start_soon(_tell, connection, uri)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        connection = ctx.session._connection  # noqa: SLF001 - the session is per request, and has no accessor for it
        if connection not in self._older:
            self._older[connection] = set()
            connection.exit_stack.callback(self._older.pop, connection, None)
        if len(self._older[connection]) < _MOST_URIS:
            self._older[connection].add(params.uri)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._older.get(ctx.session._connection, set()).discard(params.uri)  # noqa: SLF001 - as above
        return EmptyResult()


async def _tell(connection: Connection, uri: str) -> None:
    with anyio.move_on_after(_SLOW_CLIENT_S):  # who does not read must not keep the others waiting
        await connection.send_resource_updated(uri)
