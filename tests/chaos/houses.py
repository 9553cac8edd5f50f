"""A real router on a fleet of fakes, with settings so short that minutes pass in seconds, and all that it did."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint, State
from router_mcp.prober import Prober
from router_mcp.router import Router
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, Event
from router_mcp.wiring import Outside, open_router
from tests.chaos.fleet import Fleet
from tests.chaos.recorded import MODELS
from tests.houses import Proven

TIMEOUTS = {"interactive": 3.0, "connect": 0.5, "inter_token": 0.6}
HEALTH = {
    "interval": 0.3,
    "timeout": 0.5,
    "demote_after": 2.0,
    "reinstate_after": 3,
    "retry_after": 0.5,
    "canary": 0.0,
}


def make_policy(
    primary: str | tuple[str, ...],
    fallback: str,
    *,
    kinds: tuple[str, str] = ("vllm", "ollama"),
    **sections: Mapping[str, Any],
) -> PolicyFile:
    """Return a policy of two runtimes at these URLs; `limits` go to both, other sections replace what is short here.

    An embedded runtime has no URL: its place is empty. Several URLs of the primary are its replicas.
    """
    limits = sections.pop("limits", {})
    names = ("primary", "fallback")
    models = (MODELS[kinds[0]], MODELS[kinds[1]] + ("-again" if kinds[0] == kinds[1] else ""))
    places = [[url] if isinstance(url, str) and url else url for url in (primary, fallback)]
    return PolicyFile.model_validate(
        {
            "version": 1,
            "runtimes": {
                name: {"kind": kind, "endpoints": tuple(urls), "max_concurrency": 64, **limits}
                for name, kind, urls in zip(names, kinds, places, strict=True)
            },
            "models": {
                model: {"runtime": name, "served_name": MODELS[kind], "context_window": 8192}
                for model, name, kind in zip(models, names, kinds, strict=True)
            },
            "tasks": {"reasoning": {"models": models}},
            "defaults": {"task": "reasoning"},
            "timeouts": TIMEOUTS | dict(sections.get("timeouts", {})),
            "health": HEALTH | dict(sections.get("health", {})),
        }
    )


@dataclass(slots=True)
class Tried:
    """One attempt on the wire; times are the router's."""

    endpoint: Endpoint
    begun: float
    ended: float | None = None
    outcome: str = "cancelled"


@dataclass(slots=True)
class Ledger:
    """A telemetry listener that notes every attempt."""

    tried: list[Tried] = field(default_factory=list)
    _running: dict[str, Tried] = field(default_factory=dict)

    def started(self, event: AttemptStarted) -> str | None:
        entry = Tried(event.call.endpoint, anyio.current_time())
        self._running[event.call.request_id] = entry
        self.tried.append(entry)
        return None

    def tell(self, event: Event) -> None:
        if isinstance(event, AttemptEnded):
            entry = self._running.pop(event.started.call.request_id)
            entry.ended = anyio.current_time()
            entry.outcome = event.error.outcome if event.error else "ok" if event.completion else "cancelled"

    def waves(self, endpoint: Endpoint, window_s: float) -> list[int]:
        """Return how many failed attempts began in each window: from a failure on, for `window_s` or longer.

        The first wave is what was in flight when the first failure told that something is wrong.
        """
        failed = self.failed_on(endpoint)
        known = min((each.ended for each in failed if each.ended is not None), default=0.0)
        waves = [sum(each.begun <= known for each in failed)]
        for each in failed:
            if each.begun > known + window_s:
                known = each.begun
                waves.append(1)
            elif each.begun > known:
                waves[-1] += 1
        return waves

    def failed_on(self, endpoint: Endpoint) -> list[Tried]:
        """Return the attempts that failed there, in the order in which they began."""
        return [each for each in self.tried if each.endpoint == endpoint and each.outcome not in {"ok", "cancelled"}]


@dataclass(slots=True)
class House:
    """An open router on a fleet."""

    router: Router
    fleet: Fleet
    ledger: Ledger

    def endpoint(self, name: str = "primary") -> Endpoint:
        return self.router.fleet.endpoints_of(name)[0]

    def state(self, name: str = "primary") -> State:
        """Return how the one model of a runtime stands."""
        model = self.router.fleet.models_on(name)[0]
        return self.router.board.standing(self.endpoint(name), model, anyio.current_time()).state

    async def becomes(self, *states: State, name: str = "primary", within_s: float = 10.0) -> float:
        """Wait until a runtime is in one of these states, and return how long that took."""
        begun = anyio.current_time()
        with anyio.fail_after(within_s):
            while self.state(name) not in states:
                await anyio.sleep(0.01)
        return anyio.current_time() - begun

    async def is_probed(self, name: str = "primary") -> float:
        return await self.becomes("healthy", name=name)


@asynccontextmanager
async def open_house(fleet: Fleet, policy: PolicyFile, *, probing: bool = True) -> AsyncGenerator[House]:
    """Open a router as it is wired in production, with its prober beside it."""
    ledger = Ledger()
    async with (
        open_router(policy, ledger, Outside(environ=os.environ)) as router,
        anyio.create_task_group() as tasks,
    ):
        router.proofs = Proven()
        if probing:
            tasks.start_soon(Prober(router, anyio.current_time).run)
        yield House(router, fleet, ledger)
        tasks.cancel_scope.cancel()
