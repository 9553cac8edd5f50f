"""One fake runtime on a real socket: it speaks a recorded wire, and misbehaves as it is told while it runs."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream, TaskGroup

from tests.chaos.faults import BEHAVIOURS, WHOLE, Fault, opening, reset
from tests.chaos.recorded import WIRES, metrics, reply, without_models
from tests.contract.sockets import chunk, read_request

LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
CHUNKS = 4
"""Writes in which an answer is sent."""
PACE_S = 0.01
"""Seconds before each of them."""


@dataclass(slots=True)
class Counts:
    """What a fake saw; times are on the machine's monotonic clock."""

    probes: int = 0
    attempts: int = 0
    served: int = 0
    closed_early: int = 0
    """Connections that the client closed before its answer was whole."""
    last_closed_at: float = 0.0
    in_flight: int = 0
    most_in_flight: int = 0
    tokens: int = 0


class FakeRuntime:
    """A runtime of one kind. `tend` keeps it alive; `become` changes what is wrong with it."""

    def __init__(self, kind: str) -> None:
        self._wire = WIRES[kind]
        self._kind = kind
        self._pace_s = PACE_S
        self._fault = Fault.OK
        self.counts = Counts()
        self.port = 0
        self._listener: Listener[SocketStream] | None = None
        self._unread: socket.socket | None = None
        self._open: dict[SocketStream, anyio.CancelScope] = {}
        self._left_open: list[SocketStream] = []

    async def start(self, tasks: TaskGroup) -> None:
        """Listen on a free port, or again on the one that it had."""
        self._tasks = tasks
        (listener,) = (await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)).listeners
        self._listener = listener
        self.port = int(listener.extra(SocketAttribute.local_port))
        tasks.start_soon(self._accept, listener)

    async def become(self, fault: Fault, pace_s: float | None = None) -> None:
        """Be broken like this from now on; a connection that is in use stays as it was, unless the process died."""
        self._pace_s = self._pace_s if pace_s is None else pace_s
        if fault is self._fault:
            return
        self._fault = fault
        if fault in {Fault.REFUSE, Fault.HALF_OPEN} or self._listener is None:
            await self._stop_listening()
        await self._leave_connections()
        if fault is Fault.HALF_OPEN:
            # The kernel goes on to shake hands until its queue is full, and nobody reads.
            self._unread = socket.create_server(("127.0.0.1", self.port), backlog=1)
        elif fault is not Fault.REFUSE and self._listener is None:
            await self.start(self._tasks)

    async def restore(self) -> None:
        """Be well again, and forget everything; whoever still hangs on an old connection is let go."""
        await self.become(Fault.OK, PACE_S)
        for stream in list(self._open):
            await _abort(stream)
        self.counts = Counts()

    def state(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return asdict(self.counts)

    async def _stop_listening(self) -> None:
        if self._listener:
            await self._listener.aclose()
            self._listener = None
        if self._unread:
            self._unread.close()
            self._unread = None

    async def _leave_connections(self) -> None:
        """Reset what was connected to a dead process; leave open what nobody reads any more."""
        for stream in self._left_open:
            await _abort(stream)
        self._left_open.clear()
        for stream, scope in list(self._open.items()):
            if self._fault in {Fault.REFUSE, Fault.RESET}:
                await _abort(stream)
            elif self._fault is Fault.HALF_OPEN:
                self._left_open.append(stream)
                scope.cancel()

    async def _accept(self, listener: Listener[SocketStream]) -> None:
        with suppress(*LOST):
            await listener.serve(self._handle, self._tasks)

    async def _handle(self, stream: SocketStream) -> None:
        scope = self._open[stream] = anyio.CancelScope()
        with scope, suppress(*LOST):
            while await self._answer(stream):
                pass
        del self._open[stream]
        if stream not in self._left_open:
            with suppress(*LOST):
                await stream.aclose()

    async def _answer(self, stream: SocketStream) -> bool:
        """Answer one request; tell whether the connection may have another."""
        request = await read_request(stream)
        path = request.split(b" ", 2)[1].decode()
        if path == self._wire.chat_path:
            return await self._generate(stream)
        self.counts.probes += 1
        if self._fault in WHOLE:
            return await BEHAVIOURS[self._fault](self._wire, stream)
        if self._fault is Fault.UNAUTHORIZED and path == "/v1/models":
            await stream.send(reply(self._wire.refusals["unauthorized"]))
        elif path == "/metrics" and self._kind == "vllm":
            await stream.send(reply(metrics(self.counts.in_flight, self.counts.tokens)))
        else:
            page = self._wire.pages.get(path, self._wire.pages["unknown"])
            await stream.send(reply(without_models(page) if self._fault is Fault.MISSING else page))
        return True

    async def _generate(self, stream: SocketStream) -> bool:
        counts = self.counts  # also if they are replaced meanwhile
        counts.attempts += 1
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        try:
            if self._fault is Fault.OK:
                await self._stream(stream)
                return True
            return await BEHAVIOURS[self._fault](self._wire, stream)
        except LOST:
            counts.closed_early += 1
            counts.last_closed_at = time.monotonic()  # noqa: TID251 - the same for every process of the machine
            raise
        finally:
            counts.in_flight -= 1

    async def _stream(self, stream: SocketStream) -> None:
        """Send the recorded answer at the pace of this runtime."""
        pieces = self._wire.pieces
        size = -(-len(pieces) // CHUNKS)
        await stream.send(opening(self._wire))
        for start in range(0, len(pieces), size):
            await anyio.sleep(self._pace_s)
            part = pieces[start : start + size]
            await stream.send(b"".join(chunk(piece) for piece in part))
            self.counts.tokens += len(part)
        self.counts.served += 1
        await stream.send(chunk(b""))


async def _abort(stream: SocketStream) -> None:
    reset(stream)
    await anyio.aclose_forcefully(stream)
