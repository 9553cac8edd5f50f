"""Keeps one llama.cpp child running while there are calls for it: starts it, doubts it, ends it, starts it again.

    none      a call comes                                  → starting; other callers wait for the same start
    starting  it listens                                    → running
    running   a call on it broke or was cancelled           → doubted: the next call asks it first
    running   asked, and silent for `frozen_s`              → killed
    any       it has ended                                  → none, after a pause that grows with failures in a row
    running   reset                                         → none; it ends with the last call that it serves

There is no task in the background: the state is looked at when a call or a probe comes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from router_mcp.domain import Probe
from router_mcp.errors import AttemptError, StalledError, UnreachableError
from router_mcp.runtimes.llama_process import LlamaProcess, LlamaSpec

MAX_PAUSE_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds."""

    startup_s: float = 120.0
    """To load the model."""
    answer_s: float = 1.5
    """To answer a question about its state."""
    frozen_s: float = 8.0
    """Silence after which an unanswered question means that it is frozen. A hard grammar may take it seconds."""


def pause_s(failures: int) -> float:
    """Return how long a child is not started after so many ends in a row without a call served: 0, 1, 2, 4 …"""
    return 0.0 if failures < 2 else min(MAX_PAUSE_S, 2.0 ** min(failures - 2, 10))


class LlamaSupervisor:
    """Owns the child. Every method may be called from many tasks at once."""

    def __init__(
        self,
        spec: Callable[[], LlamaSpec],
        ask: Callable[[LlamaProcess], Awaitable[Probe]],
        limits: Limits,
    ) -> None:
        self._spec = spec
        self._ask_child = ask
        self._limits = limits
        self._starting = anyio.Lock()
        self._child: LlamaProcess | None = None
        self._retired: set[LlamaProcess] = set()
        self._failures = 0
        self._not_before = 0.0
        self._start_error: str | None = None
        self._closed = False

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[LlamaProcess]:
        """Yield a child that is ready, starting one if need be. Raises `UnreachableError` when there can be none."""
        child = await self._ready()
        child.calls += 1
        try:
            yield child
        finally:
            child.calls -= 1
            child.trim()
            if child in self._retired and not child.calls:
                self._retired.discard(child)
                await child.aclose()

    def served(self) -> None:
        """Note that a call was served, which forgives every end before it."""
        self._failures = 0

    async def probe(self) -> Probe:
        """Ask the child how it is. One that does not run is well, unless it could not be started."""
        child = self._child
        if child is not None and child.alive:
            return await self._ask(child) if child.url else Probe(loaded=frozenset())
        self._spec()
        if self._start_error:
            raise UnreachableError(self._start_error)
        return Probe(loaded=frozenset())

    async def reset(self) -> None:
        """Let no later call meet what earlier ones left in the child."""
        async with self._starting:
            child, self._child = self._child, None
            if child is not None:
                await self._retire(child)

    async def aclose(self) -> None:
        """End every child, also one that starts or serves; later calls are refused."""
        self._closed = True
        children = self._retired | ({self._child} if self._child else set())
        self._retired, self._child = set(), None
        for child in children:
            await child.aclose()

    async def _ready(self) -> LlamaProcess:
        child = self._child
        if child is not None and child.alive and child.url and not child.doubted:
            return child
        async with self._starting:
            if self._child is not None:
                await self._examine(self._child)
            child = self._child or await self._start()
            if not child.url:
                await self._wait(child)
            return child

    async def _examine(self, child: LlamaProcess) -> None:
        """Find out whether a doubted child is well, and clear away one that has ended."""
        if child.alive and child.url and child.doubted:
            # A busy one may go on: the call has time limits of its own. A dead or frozen one is killed by asking.
            with contextlib.suppress(StalledError, UnreachableError):
                await self._ask(child)
        if not child.alive:
            await self._clear(child)

    async def _start(self) -> LlamaProcess:
        pause = self._not_before - anyio.current_time()
        if pause > 0 and not self._closed:
            why = self._start_error or f"llama.cpp ended {self._failures} times in a row. Look at the router's log."
            raise UnreachableError(why, retry_after_s=pause)
        child = await LlamaProcess.spawn(self._spec()) if not self._closed else None
        if child is None or self._closed:  # the router may shut down while a process is being made
            if child is not None:
                await child.aclose()
            raise UnreachableError("The embedded runtime is shut down. Start the router again.")
        self._child = child
        return child

    async def _wait(self, child: LlamaProcess) -> None:
        """Wait for the child to be ready. A caller that goes away leaves it starting, for the next one."""
        left = child.started_at + self._limits.startup_s - anyio.current_time()
        try:
            with anyio.fail_after(max(left, 0.1)):
                await child.ready()
        except TimeoutError:
            error = UnreachableError(
                f"llama.cpp was not ready after {self._limits.startup_s:g} s. Use a smaller model, or a faster disk."
            )
        except UnreachableError as failure:
            error = failure
        else:
            self._start_error = None
            return
        self._start_error = str(error)
        await self._clear(child)
        raise error

    async def _ask(self, child: LlamaProcess) -> Probe:
        """Ask a running child how it is; kill it when it is frozen, or listens no more."""
        try:
            with anyio.fail_after(self._limits.answer_s):
                probe = await self._ask_child(child)
        except UnreachableError:
            child.kill()
            raise UnreachableError("llama.cpp has ended. The next call starts it again.") from None
        except (AttemptError, TimeoutError):
            child.doubted = True
            if anyio.current_time() - child.heard_at < self._limits.frozen_s:
                raise StalledError("llama.cpp is too busy to say how it is. It goes on; try again.") from None
            child.kill()
            raise UnreachableError("llama.cpp was frozen, and was ended. The next call starts it again.") from None
        child.heard()
        child.doubted = False
        return probe

    async def _clear(self, child: LlamaProcess) -> None:
        self._failures += 1
        self._not_before = anyio.current_time() + pause_s(self._failures)
        if self._child is child:
            self._child = None
        if not self._closed:
            _log.warning("llama.cpp ended (%s)", child.obituary())
        await self._retire(child)

    async def _retire(self, child: LlamaProcess) -> None:
        if child.calls and child.alive:
            self._retired.add(child)
        else:
            await child.aclose()
