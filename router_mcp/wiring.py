"""Where parts are put together; the only such place.

async with open_router(load_config(path)) as router:
    result = await router.generate(GenerateRequest(prompt="hi", task="reasoning"))
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - for its clock alone, see `Outside`
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import TypeAlias

import anyio

from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.config.policy_file import PolicyFile, RuntimeConfig
from router_mcp.fleet import Fleet
from router_mcp.orders import OrderBook
from router_mcp.router import Router, Settings
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.late import LateRuntime, LateRuntimes
from router_mcp.state.directory import state_directory
from router_mcp.telemetry.base import Telemetry, all_of

MakeRuntime: TypeAlias = Callable[[str, PolicyFile], Runtime]
"""Makes the adapter of a named runtime of a policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a router touches of the world; tests bring their own."""

    environ: Mapping[str, str]
    clock: Callable[[], float] | None = None
    """By default the event loop's, which is what `anyio.current_time` looks up anew each time it is asked."""
    wall: Callable[[], float] = lambda: datetime.now(UTC).timestamp()
    """The clock that processes share, in seconds."""
    new_id: Callable[[], str] = lambda: token_hex(16)
    make_runtime: MakeRuntime | None = None
    obeys_orders: bool = True
    """Whether tenants' epochs and canaries are followed and counted, as calls of callers must; drills are none."""


@asynccontextmanager
async def open_router(
    policy: PolicyFile, telemetry: Telemetry | None = None, outside: Outside | None = None
) -> AsyncGenerator[Router]:
    """Yield a router for a policy, and close every connection and child process at the end.

    Nothing is sent before the first call. Run `Prober(router).run()` beside it to have endpoints watched, and
    `Follower(router).run()` to have operators' orders followed while it is open.
    """
    outside = outside or Outside(environ=os.environ)
    clock = outside.clock or asyncio.get_running_loop().time
    adapters = Adapters(outside, clock)
    secret = outside.environ.get("ROUTER_MCP_SALT_SECRET", "")
    state = state_directory(outside.environ) if outside.obeys_orders else None
    orders = OrderBook(state, secret, outside.wall)
    settings = Settings(
        clock=clock, new_id=outside.new_id, fleet_of=adapters.fleet, tidy=adapters.close_retired, orders=orders
    )
    board, book = HealthBoard(policy.health), AdmissionBook(clock)
    listeners = all_of(telemetry, orders.watch)
    router = Router(policy, board, book, listeners, settings)
    try:
        yield router
    finally:
        orders.write_counts(router.fleet.policy.rollout.window)
        with anyio.CancelScope(shield=True):
            await adapters.aclose()


class Adapters:
    """Makes the adapters of a policy; a reload keeps those whose configuration it leaves alone, under whatever name.

    So when a canary and its model change places, warm connections and loaded models move along.
    """

    def __init__(self, outside: Outside, clock: Callable[[], float]) -> None:
        self._now = clock
        self._make = outside.make_runtime or (lambda name, policy: make_runtime(name, policy, outside.environ))
        self._made: dict[str, tuple[object, LateRuntime]] = {}
        self._retired: list[tuple[float, LateRuntime]] = []
        """What reloads replaced, and until when calls may use it."""
        self._longest_s = 0.0

    def fleet(self, policy: PolicyFile) -> Fleet:
        """Return the fleet of a policy."""
        wanted = {
            name: (config, policy.timeouts.connect, _window(policy, name)) for name, config in policy.runtimes.items()
        }
        left = [made for name, made in self._made.items() if name not in wanted or made[0] != wanted[name]]
        for name, essence in wanted.items():
            made = self._made.get(name)
            if made is None or made[0] != essence:
                moved = next((each for each in left if each[0] == essence), None)
                if moved is not None:
                    left.remove(moved)
                self._made[name] = moved or (essence, LateRuntime(partial(self._make, name, policy)))
        self._made = {name: self._made[name] for name in wanted}
        until = self._now() + self._longest_s  # the deadline of the last call that began under the policy before
        self._longest_s = max(policy.timeouts.interactive, policy.timeouts.long_form)
        self._retired.extend((until, runtime) for _, runtime in left)
        return Fleet(policy, LateRuntimes({name: made[1] for name, made in self._made.items()}))

    async def close_retired(self) -> None:
        """Close what reloads replaced, when the calls that may use it have met their deadlines."""
        over = [each for each in self._retired if each[0] < self._now()]
        self._retired = [each for each in self._retired if each not in over]
        for _, runtime in over:
            await runtime.aclose()

    async def aclose(self) -> None:
        """Close what was made, also what reloads replaced: a call may have been using it until now."""
        for _, runtime in [*self._retired, *self._made.values()]:
            await runtime.aclose()


def make_runtime(name: str, policy: PolicyFile, environ: Mapping[str, str]) -> Runtime:
    """Make the adapter of a runtime; the packages of the other kinds are not imported."""
    config, connect_s = policy.runtimes[name], policy.timeouts.connect
    key = environ.get(config.api_key_env) if config.api_key_env else None
    if config.kind == "embedded":
        from router_mcp.runtimes.embedded import EmbeddedRuntime  # noqa: PLC0415 - see the docstring

        window, patience = _window(policy, name), policy.health.timeout
        return EmbeddedRuntime(config, context_window=window, probe_timeout_s=patience)
    if config.kind == "ollama":
        from router_mcp.runtimes.ollama import OllamaRuntime  # noqa: PLC0415 - see the docstring
        from router_mcp.runtimes.wire import make_transport  # noqa: PLC0415 - see the docstring

        transport = make_transport(connect_s=connect_s, verify=_uses_tls(config))
        return OllamaRuntime(config, transport, connect_s=connect_s, probe_timeout_s=policy.health.timeout, api_key=key)
    from router_mcp.runtimes.direct import DirectClient  # noqa: PLC0415 - see the docstring
    from router_mcp.runtimes.vllm import VllmRuntime  # noqa: PLC0415 - see the docstring

    return VllmRuntime(config, DirectClient(connect_s=connect_s), api_key=key)


def _uses_tls(config: RuntimeConfig) -> bool:
    """Tell whether certificates need to be loaded at all; it costs 30 ms of every start."""
    return any(url.startswith("https:") for url in config.endpoints)


def _window(policy: PolicyFile, runtime: str) -> int:
    return max((m.context_window for m in policy.models.values() if m.runtime == runtime), default=4096)
