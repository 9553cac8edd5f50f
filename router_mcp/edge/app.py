"""What one running server holds: the router, who keeps it fresh, and who hears of changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from router_mcp import status
from router_mcp.config.policy_file import PolicyFile
from router_mcp.edge.joined import JoinedCalls
from router_mcp.edge.lookout import keep_lookout
from router_mcp.edge.operated import obey
from router_mcp.edge.signals import at_each_hangup
from router_mcp.edge.subscriptions import ResourceChanges
from router_mcp.prober import Prober
from router_mcp.reload import Reloader
from router_mcp.router import Router
from router_mcp.state.directory import Fingerprint
from router_mcp.telemetry.history import History

HEALTH_URI = "router://health"
WATCH_AFTER_S = 0.25
"""A client's first questions follow the start at once, and need not wait for the packages that probing imports."""
FOLLOW_S = 0.5
"""How often health and policy are compared with what clients were last told."""


@dataclass(frozen=True, slots=True)
class App:
    """The lifespan's state; tools reach it through their context."""

    router: Router
    clock: Callable[[], float]
    history: History
    started: float
    joined: JoinedCalls
    reloader: Reloader | None = None

    def not_ready(self) -> str | None:
        """Return why no task can be served now, or `None`."""
        return status.not_ready(self.router, self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an app's router comes from; `path`, `load` and `seen` let it follow the policy file."""

    open_router: Callable[[], AbstractAsyncContextManager[Router]]
    clock: Callable[[], float] = anyio.current_time
    history: History | None = None
    """The one that the router's telemetry tells, if there is one."""
    path: Path | None = None
    load: Callable[[Path], PolicyFile] | None = None
    seen: Fingerprint = None
    """The file's fingerprint from before it was read."""


@asynccontextmanager
async def run_app(
    source: Source, changes: ResourceChanges, on_policy: Callable[[PolicyFile], None]
) -> AsyncGenerator[App]:
    """Yield an app whose endpoints are watched and whose policy follows its file.

    `on_policy` is told every policy that comes into force, so that published schemas can follow.
    """
    async with source.open_router() as router:
        history = source.history or History(source.clock)
        reloader = None
        if source.path and source.load:
            reloader = Reloader(router, source.path, source.load, seen=source.seen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, Prober(router, source.clock))
            tasks.start_soon(changes.publish_forever)
            tasks.start_soon(_follow, router, changes, on_policy)
            tasks.start_soon(keep_lookout, router, history, source.clock)
            tasks.start_soon(obey, router, source.clock)
            if reloader is not None:
                tasks.start_soon(reloader.run)
                await tasks.start(at_each_hangup, reloader.reload)
            joined = JoinedCalls(router.generate, tasks, source.clock)
            yield App(router, source.clock, history, source.clock(), joined, reloader)
            tasks.cancel_scope.cancel()


async def _watch(prober: Prober) -> None:
    await anyio.sleep(WATCH_AFTER_S)
    await prober.run()


async def _follow(router: Router, changes: ResourceChanges, on_policy: Callable[[PolicyFile], None]) -> None:
    """Tell clients when health or the policy changed."""
    generation, policy = router.board.generation, router.fleet.policy
    while True:
        await anyio.sleep(FOLLOW_S)
        if router.board.generation != generation:
            generation = router.board.generation
            changes.changed(HEALTH_URI)
            changes.changed("router://models")
        if router.fleet.policy is not policy:
            policy = router.fleet.policy
            on_policy(policy)
            changes.tools_changed()
            changes.changed("router://policy")
