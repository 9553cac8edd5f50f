"""The stdout of a stdio server, written without a thread.

The SDK hands every message to a worker thread twice, to write it and to flush it, which costs more than all of the
router's own work on a short call. Here it is written where it is made. A pipe that takes any bytes takes `PIPE_BUF` of
them without blocking (POSIX), so the descriptor need not be made non-blocking, which would hit every process that
shares it.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import anyio


class Wire:
    """What the SDK uses of an `anyio.AsyncFile`, on a file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._ready = select.poll()
        self._ready.register(fd, select.POLLOUT)

    async def write(self, text: str) -> None:
        """Write all of it, waiting for the reader where need be; raise `BrokenPipeError` once there is none."""
        left = memoryview(text.encode())
        while left:
            if not self._ready.poll(0):
                await anyio.wait_writable(self._fd)
            with suppress(BlockingIOError):  # someone else made it non-blocking, and filled it meanwhile
                left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]

    async def flush(self) -> None:
        """Do nothing: no byte is ever held back."""


@contextmanager
def taken_stdout() -> Generator[Wire]:
    """Take stdout for the protocol: what handlers and child processes print goes to stderr instead."""
    sys.stdout.flush()
    wire = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)  # never in the place of a stderr that is closed
    _divert()
    try:
        yield Wire(wire)
    finally:
        with suppress(OSError):  # stderr may be gone with the client
            sys.stdout.flush()
        os.dup2(wire, 1)
        os.close(wire)


def _divert() -> None:
    try:
        os.dup2(2, 1)
    except OSError:  # a process without stderr
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
