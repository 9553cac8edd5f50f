"""SIGTERM and SIGINT mean: finish. A second one is left to the system, which ends the process at once.

SIGHUP means: read the configuration again (CONTRACT §3).
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus


@asynccontextmanager
async def stopped_by_signal(stop: Callable[[], None]) -> AsyncGenerator[None]:
    """Call `stop` at the first signal that comes while the body runs."""
    async with anyio.create_task_group() as group:
        await group.start(_first_signal, stop)
        yield
        group.cancel_scope.cancel()


async def _first_signal(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            break
    stop()


async def at_each_hangup(reload: Callable[[], object], *, task_status: TaskStatus[None]) -> None:
    """Call `reload` at every SIGHUP, until cancelled; then it is taken as it was before."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        with anyio.open_signal_receiver(signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                reload()
    finally:
        signal.signal(signal.SIGHUP, before)  # the event loop would leave what ends a process that is on its way out
