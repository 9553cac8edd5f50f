"""Clients of both eras hear of changed resources, whoever else does not listen."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.server.connection import Connection
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged
from mcp.types import ResourceUpdatedNotification

from router_mcp.edge.subscriptions import ResourceChanges
from tests.edge.demo import make_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed"),  # says the client, of the older era
]
URI = "demo://state"


class Inbox:
    """URIs that an older client was told of."""

    def __init__(self) -> None:
        self.uris: list[str] = []

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.uris.append(message.params.uri)


async def test_a_listening_client_hears_of_the_resource_it_asked_for() -> None:
    changes = ResourceChanges()
    async with (
        Client(make_server(changes), mode="auto") as client,
        client.listen(resource_subscriptions=[URI]) as events,
    ):
        changes.changed("demo://other")
        changes.changed(URI)
        with anyio.fail_after(5):
            assert await anext(aiter(events)) == ResourceUpdated(uri=URI)


async def test_a_listening_client_hears_of_changed_tools() -> None:
    changes = ResourceChanges()
    async with Client(make_server(changes), mode="auto") as client, client.listen(tools_list_changed=True) as events:
        changes.tools_changed()
        with anyio.fail_after(5):
            assert await anext(aiter(events)) == ToolsListChanged()


async def test_closing_ends_a_listen_stream_in_order() -> None:
    changes = ResourceChanges()
    async with (
        Client(make_server(changes), mode="auto") as client,
        client.listen(resource_subscriptions=[URI]) as events,
    ):
        changes.close()
        with anyio.fail_after(5):
            assert [event async for event in events] == []


async def test_an_older_client_hears_of_what_it_subscribed_to_until_it_unsubscribes() -> None:
    changes, inbox = ResourceChanges(), Inbox()
    async with Client(make_server(changes), mode="legacy", message_handler=inbox) as client:
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.resources.subscribe
        await client.subscribe_resource(URI)
        await client.subscribe_resource(URI)
        changes.changed(URI)
        changes.changed("demo://other")
        await anyio.sleep(1)
        assert inbox.uris == [URI]
        await client.unsubscribe_resource(URI)
        changes.changed(URI)
        await anyio.sleep(1)
        assert inbox.uris == [URI]


async def test_a_burst_of_changes_is_two_notifications() -> None:
    changes, inbox = ResourceChanges(), Inbox()
    async with Client(make_server(changes), mode="legacy", message_handler=inbox) as client:
        await client.subscribe_resource(URI)
        for _ in range(100):
            changes.changed(URI)
            await anyio.sleep(0.001)
        await anyio.sleep(1)
    assert inbox.uris == [URI, URI]  # one at once, one for all that came meanwhile


async def test_a_connection_that_ended_is_forgotten_with_its_subscriptions() -> None:
    changes = ResourceChanges()
    async with Client(make_server(changes), mode="legacy") as client:
        await client.subscribe_resource(URI)
        assert changes._older
    assert not changes._older


async def test_one_connection_cannot_subscribe_without_bound() -> None:
    changes = ResourceChanges()
    async with Client(make_server(changes), mode="legacy") as client:
        for number in range(100):
            await client.subscribe_resource(f"demo://{number}")
        assert [len(uris) for uris in changes._older.values()] == [64]


async def test_a_client_that_does_not_read_keeps_nobody_waiting() -> None:
    class Stuck:
        async def send_resource_updated(self, uri: str) -> None:
            await anyio.sleep_forever()

    changes, inbox = ResourceChanges(), Inbox()
    changes._older[cast("Connection", Stuck())] = {URI}
    async with Client(make_server(changes), mode="legacy", message_handler=inbox) as client:
        await client.subscribe_resource(URI)
        changes.changed(URI)
        await anyio.sleep(2)
        changes.changed(URI)
        await anyio.sleep(2)
    assert inbox.uris == [URI, URI]
