"""Servers on real sockets that say exactly the bytes they are told to, however wrong those are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream

from router_mcp.errors import AttemptError

Script = Callable[[SocketStream], Awaitable[None]]
"""What a server does with a connection on which one whole request has come."""

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve on a free loopback port and yield the base URL; every connection is closed after the script.

    An `AttemptError` within comes out as it is, not in the group that a task group makes of it.
    """
    failure: AttemptError | None = None

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                await read_request(stream)
                await script(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return  # the client went away, which is for the script to expect

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        try:
            yield f"http://127.0.0.1:{port}"
        except AttemptError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def read_request(stream: SocketStream) -> bytes:
    """Read one request with its body, and return its head."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while missing > 0:
        missing -= len(await stream.receive())
    return head


def chunk(data: bytes) -> bytes:
    """Return the data as one chunk of a chunked body; no data is the end of the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(content: str, finish: str | None = None) -> bytes:
    """Return one event of a chat stream."""
    reason = f'"{finish}"' if finish else "null"
    delta = f'"delta":{{"content":"{content}"}}'
    return f'data: {{"choices":[{{"index":0,{delta},"finish_reason":{reason}}}]}}\n\n'.encode()
