"""Where parts are put together; the only such place.

async with open_router(load_config(path)) as router:
    result = await router.generate(GenerateRequest(prompt="hi", task="reasoning"))
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

import anyio

from router_mcp.admission import AdmissionBook
from router_mcp.config.policy_file import PolicyFile, RuntimeConfig
from router_mcp.fleet import Fleet
from router_mcp.health import HealthBoard
from router_mcp.router import Router, Settings
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.wire import make_client, make_transport
from router_mcp.telemetry.base import Listeners, Telemetry

MakeRuntime: TypeAlias = Callable[[str, PolicyFile], Runtime]
"""Makes the adapter of a named runtime of a policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a router touches of the world; tests bring their own."""

    environ: Mapping[str, str]
    clock: Callable[[], float] = anyio.current_time
    new_id: Callable[[], str] = lambda: uuid4().hex
    make_runtime: MakeRuntime | None = None


@asynccontextmanager
async def open_router(
    policy: PolicyFile, telemetry: Telemetry | None = None, outside: Outside | None = None
) -> AsyncGenerator[Router]:
    """Yield a router for a policy, and close every connection and child process at the end.

    Nothing is sent before the first call. Run `Prober(router).run()` beside it to have endpoints watched.
    """
    outside = outside or Outside(environ=os.environ)
    adapters = Adapters(outside)
    settings = Settings(
        clock=outside.clock,
        new_id=outside.new_id,
        fleet_of=adapters.fleet,
        salt_secret=outside.environ.get("ROUTER_MCP_SALT_SECRET", ""),
    )
    board, book = HealthBoard(policy.health), AdmissionBook(outside.clock)
    try:
        yield Router(policy, board, book, telemetry or Listeners(), settings)
    finally:
        with anyio.CancelScope(shield=True):
            await adapters.aclose()


class Adapters:
    """Makes the adapters of a policy; a reload keeps those whose configuration it leaves alone."""

    def __init__(self, outside: Outside) -> None:
        self._make = outside.make_runtime or (lambda name, policy: make_runtime(name, policy, outside.environ))
        self._made: dict[str, tuple[object, Runtime]] = {}
        self._retired: list[Runtime] = []

    def fleet(self, policy: PolicyFile) -> Fleet:
        """Return the fleet of a policy."""
        for name, config in policy.runtimes.items():
            made = self._made.get(name)
            essence = (config, policy.timeouts.connect, _window(policy, name))
            if made is None or made[0] != essence:
                self._made[name] = (essence, self._make(name, policy))
                self._retired.extend([made[1]] if made else [])
        for name in self._made.keys() - policy.runtimes.keys():
            self._retired.append(self._made.pop(name)[1])
        return Fleet(policy, {name: self._made[name][1] for name in policy.runtimes})

    async def aclose(self) -> None:
        """Close what was made, also what reloads replaced: a call may have been using it until now."""
        for runtime in [*self._retired, *(runtime for _, runtime in self._made.values())]:
            await runtime.aclose()


def make_runtime(name: str, policy: PolicyFile, environ: Mapping[str, str]) -> Runtime:
    """Make the adapter of a runtime; the packages of the other kinds are not imported."""
    config, connect_s = policy.runtimes[name], policy.timeouts.connect
    key = environ.get(config.api_key_env) if config.api_key_env else None
    if config.kind == "embedded":
        from router_mcp.runtimes.embedded import EmbeddedRuntime  # noqa: PLC0415 - see the docstring

        return EmbeddedRuntime(config, context_window=_window(policy, name))
    transport = make_transport(connect_s=connect_s, verify=_uses_tls(config))
    if config.kind == "ollama":
        from router_mcp.runtimes.ollama import OllamaRuntime  # noqa: PLC0415 - see the docstring

        return OllamaRuntime(config, transport, connect_s=connect_s, probe_timeout_s=policy.health.timeout, api_key=key)
    from router_mcp.runtimes.vllm import VllmRuntime  # noqa: PLC0415 - see the docstring

    return VllmRuntime(config, make_client(transport, connect_s=connect_s), api_key=key)


def _uses_tls(config: RuntimeConfig) -> bool:
    """Tell whether certificates need to be loaded at all; it costs 30 ms of every start."""
    return any(url.startswith("https:") for url in config.endpoints)


def _window(policy: PolicyFile, runtime: str) -> int:
    return max((m.context_window for m in policy.models.values() if m.runtime == runtime), default=4096)
