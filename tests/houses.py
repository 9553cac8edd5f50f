"""A small policy on scripted runtimes: `big` (and `other`) on a GPU runtime, `small` on a laptop."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import anyio

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint, State
from router_mcp.proofs import Proofs
from router_mcp.router import Router
from router_mcp.runtimes.base import Runtime
from router_mcp.telemetry.base import AttemptStarted, Event, Listeners, Telemetry
from router_mcp.wiring import Outside, open_router
from tests.scripted import ScriptedRuntime


def make_policy(*, replicas: int = 1, concurrency: int = 64, queue: int = 256) -> PolicyFile:
    """Return the policy of the house."""
    gpu = ["http://gpu"] if replicas == 1 else [f"http://gpu-{n}" for n in range(1, replicas + 1)]
    limits = {"max_concurrency": concurrency, "max_queue": queue}
    return PolicyFile.model_validate(
        {
            "version": 1,
            "runtimes": {
                "gpu": {"kind": "vllm", "endpoints": tuple(gpu), **limits},
                "laptop": {"kind": "ollama", "endpoints": ("http://laptop",), "allow_insecure": True, **limits},
            },
            "models": {
                "big": {"runtime": "gpu", "context_window": 32768, "family": "mistral"},
                "other": {"runtime": "gpu", "context_window": 32768},
                "small": {"runtime": "laptop", "context_window": 4096, "served_name": "small:latest", "family": "phi3"},
            },
            "tasks": {
                "reasoning": {"models": ("big", "small")},
                "short-first": {"models": ("small", "big")},
                "report": {"models": ("big", "small"), "timeout": "long_form"},
                "triage": {"models": ("big", "small"), "safety_critical": True},
                "embedding": {"served_by": "embeddings-mcp"},
            },
            "defaults": {"task": "reasoning"},
        }
    )


class Proven(Proofs):
    """Known of everybody: nobody is asked whether constraints fire there, where a test counts what is asked."""

    def is_known(self, endpoint: Endpoint, version: str | None) -> bool:
        return True


@dataclass
class House:
    """An open router and everything around it that a test wants to see."""

    router: Router
    gpu: ScriptedRuntime
    laptop: ScriptedRuntime
    events: list[Event] = field(default_factory=list)

    def endpoint(self, runtime: str) -> Endpoint:
        return self.router.fleet.endpoints_of(runtime)[0]

    def state(self, runtime: str) -> State:
        return self.router.board.standing(self.endpoint(runtime), "", anyio.current_time()).state

    def policy(self, *, replicas: int = 1, concurrency: int = 64) -> PolicyFile:
        return make_policy(replicas=replicas, concurrency=concurrency)


@dataclass
class _Events:
    heard: list[Event]

    def started(self, event: AttemptStarted) -> str | None:
        return None

    def tell(self, event: Event) -> None:
        self.heard.append(event)


@asynccontextmanager
async def open_house(
    *,
    gpu: ScriptedRuntime | None = None,
    laptop: ScriptedRuntime | None = None,
    replicas: int = 1,
    concurrency: int = 64,
    queue: int = 256,
    telemetry: Telemetry | None = None,
    proven: bool = True,
) -> AsyncGenerator[House]:
    """Open a router on two scripted runtimes, whose constraints are `proven`, so that nobody tries them."""
    runtimes = {"gpu": gpu or ScriptedRuntime(), "laptop": laptop or ScriptedRuntime()}
    events: list[Event] = []
    ids = count(1)

    def make(name: str, policy: PolicyFile) -> Runtime:
        return runtimes[name]

    outside = Outside(environ={}, new_id=lambda: f"call-{next(ids)}", make_runtime=make)
    policy = make_policy(replicas=replicas, concurrency=concurrency, queue=queue)
    listeners = Listeners((_Events(events), *([telemetry] if telemetry else [])))
    async with open_router(policy, listeners, outside) as router:
        if proven:
            router.proofs = Proven()
        yield House(router, runtimes["gpu"], runtimes["laptop"], events)
