"""The stdin of a stdio server, read without a thread, so that it can stop being read.

The SDK reads it in a thread that sits in `read()` and cannot be interrupted, so a process told to stop
would have to leave by `os._exit`, skipping whatever its libraries do at exit. Here a signal looks exactly
like the end of input, and everything else follows from that.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from typing import Self

import anyio

_CHUNK = 256 * 1024


class Lines(AsyncIterator[str]):
    """Lines of text from a file descriptor, until its end or until `close`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._waiting: anyio.CancelScope | None = None
        self.ended = anyio.Event()
        """Set when there will be no further line."""

    def close(self) -> None:
        """End the lines now, also for whoever waits for the next one."""
        self.ended.set()
        self._buffer.clear()
        if self._waiting is not None:
            self._waiting.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        searched = 0
        while (newline := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            chunk = await self._read()
            self._buffer += chunk
            if not chunk:
                self.ended.set()
                return self._take(len(self._buffer))  # a last line may lack its end
        return self._take(newline + 1)

    def _take(self, length: int) -> str:
        if not length:
            raise StopAsyncIteration
        line = self._buffer[:length].decode(errors="replace")
        del self._buffer[:length]
        return line

    async def _read(self) -> bytes:
        """Return what there is, at least a byte; nothing at the end."""
        while not self.ended.is_set():
            with anyio.CancelScope() as self._waiting:
                with suppress(OSError):  # epoll takes no regular files and no /dev/null, which never block
                    await anyio.wait_readable(self._fd)
                try:
                    return os.read(self._fd, _CHUNK)
                except BlockingIOError:  # woken for nothing: the parent made the pipe non-blocking
                    pass
                except OSError:  # the other end is gone, unread data and all
                    break
        return b""


@contextmanager
def taken_stdin() -> Generator[Lines]:
    """Take stdin for the protocol: handlers and child processes read the end of file from it instead."""
    wire, null = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        yield Lines(wire)
    finally:
        os.dup2(wire, 0)
        os.close(wire)
