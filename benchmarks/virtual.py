"""A fleet of endpoints in virtual time, and the router's own decisions on it, with no I/O.

Driven are the policy, the plan, the ring, the health board, the admission book, the budget and the rules of what
follows a failure, in the order in which `Router._serve` asks them. Endpoints stand in three zones and serve eight calls
at once, of two seconds on average; one attempt in a thousand breaks, one in two hundred is told to wait. After a third
of the time a zone is lost for a sixth of it: what runs there breaks, what comes is refused.
"""

from __future__ import annotations

import gc
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from anyio.lowlevel import checkpoint

from benchmarks.virtual_calls import SERVICE_S, Attempt, Call
from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint, GenerateRequest
from router_mcp.errors import BrokenStreamError, UnreachableError
from router_mcp.fleet import Fleet
from router_mcp.router import Router, Settings
from router_mcp.telemetry.base import Listeners

ZONES = ("a", "b", "c")
LOST = "b"
CONCURRENCY = 8
UTILISATION = 0.55
SPARE = 10
"""One endpoint in so many is of the fallback's runtime."""
PREFIXES = 20_000
PROBE_S = 10.0


def make_policy(endpoints: int) -> PolicyFile:
    """Return a policy of a primary and a fallback on so many endpoints."""
    spare = max(1, endpoints // SPARE)
    urls = {
        "fleet": [f"http://zone-{ZONES[n % 3]}-{n}:8000" for n in range(max(3, endpoints - spare))],
        "spare": [f"http://spare-{n}:8000" for n in range(spare)],
    }
    runtimes = {
        name: {"kind": "vllm", "endpoints": each, "max_concurrency": CONCURRENCY, "allow_insecure": True}
        for name, each in urls.items()
    }
    models = {
        "big": {"runtime": "fleet", "context_window": 32768},
        "small": {"runtime": "spare", "context_window": 32768},
    }
    return PolicyFile.model_validate(
        {
            "version": 1,
            "runtimes": runtimes,
            "models": models,
            "tasks": {"reasoning": {"models": ["big", "small"]}},
            "defaults": {"task": "reasoning"},
        }
    )


@dataclass
class Outcome:
    """What came of it."""

    wall_s: float = 0.0
    served: Counter[str] = field(default_factory=Counter)
    """Calls, by model."""
    refused: Counter[str] = field(default_factory=Counter)
    decisions_us: list[float] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    """Attempts, by phase: before, struck (the first second of the outage), during, after."""
    calls: Counter[str] = field(default_factory=Counter)
    """Calls, by the phase in which they came."""
    per_endpoint: Counter[Endpoint] = field(default_factory=Counter)
    """Attempts before the outage."""
    at_home: int = 0
    """Attempts before the outage on the replica that the prompt belongs to."""

    def amplification(self, phase: str) -> float:
        """Return attempts per call of a phase."""
        return self.attempts[phase] / max(1, self.calls[phase])


class Simulation:
    """One run. Everything random comes from one seed."""

    def __init__(self, endpoints: int, calls: int, seed: int = 7) -> None:
        self.dice = random.Random(seed)
        self.policy = make_policy(endpoints)
        self.now, self.left, self.out = 0.0, calls, Outcome()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self.turns = count()
        self.homes: dict[str, Endpoint] = {}
        self.board, self.book = HealthBoard(self.policy.health), AdmissionBook(self.clock)
        ids = count()
        settings = Settings(
            clock=self.clock,
            new_id=lambda: str(next(ids)),
            fleet_of=lambda policy: Fleet(policy, {}),
            tidy=checkpoint,  # nothing is ever reloaded
        )
        self.router = Router(self.policy, self.board, self.book, Listeners(), settings)
        fleet = self.router.fleet
        self.pause_s = SERVICE_S / (UTILISATION * CONCURRENCY * len(fleet.endpoints_of("fleet")))
        lasts_s = calls * self.pause_s
        self.loss = (lasts_s / 3, lasts_s / 2)
        self.running: dict[Endpoint, dict[Attempt, None]] = {each: {} for each in fleet.endpoints()}
        self.prompts = [GenerateRequest(prompt=f"conversation {n} " * 20) for n in range(PREFIXES)]

    def clock(self) -> float:
        """Return the virtual time."""
        return self.now

    def at(self, moment: float, do: Callable[..., None], *arguments: Any) -> None:
        """Have something done later."""
        heapq.heappush(self._events, (moment, next(self._order), do, arguments))

    def is_lost(self, endpoint: Endpoint) -> bool:
        """Tell whether an endpoint's zone is away now."""
        return self.loss[0] <= self.now < self.loss[1] and endpoint.url.startswith(f"http://zone-{LOST}-")

    def phase(self) -> str:
        """Return in which part of the story we are."""
        if self.now < self.loss[0]:
            return "before"
        if self.now < self.loss[1]:
            return "struck" if self.now < self.loss[0] + 1 else "during"
        return "after"

    def run(self) -> Outcome:
        """Run to the end."""
        for runtime in self.policy.runtimes:
            self.router.fleet.ring(runtime)  # made once for each policy
        begun, collects = time.perf_counter(), gc.isenabled()
        gc.disable()  # a decision leaves it nothing to collect; it would look at all that is in flight in this world
        try:
            self._run()
        finally:
            if collects:
                gc.enable()
        self.out.wall_s = time.perf_counter() - begun
        return self.out

    def _run(self) -> None:
        self.at(0.0, self.arrive)
        self.at(self.loss[0], self.strike)
        for endpoint in self.router.fleet.endpoints():
            self.at(self.dice.random() * PROBE_S, self.probe, endpoint)
        while self._events:
            self.now, _, do, arguments = heapq.heappop(self._events)
            do(*arguments)

    def arrive(self) -> None:
        """Let a call come, and the next one later."""
        self.left -= 1
        if self.left:
            self.at(self.now + self.dice.expovariate(1 / self.pause_s), self.arrive)
        # A few conversations say much, most of them little.
        request = self.prompts[int(PREFIXES * self.dice.random() ** 2)]
        self.out.calls[self.phase()] += 1
        Call(self, request).begin()

    def strike(self) -> None:
        """Break what runs in the lost zone."""
        for endpoint in self.running:
            if self.is_lost(endpoint):
                for attempt in list(self.running[endpoint]):
                    attempt.end(BrokenStreamError(f"{endpoint} broke off its answer."))

    def probe(self, endpoint: Endpoint) -> None:
        """Ask an endpoint how it is, as the prober does."""
        if not self._events or not (self.left or any(self.running.values())):
            return
        if self.is_lost(endpoint):
            self.board.failed(endpoint, None, UnreachableError(f"{endpoint} cannot be reached."), self.now)
        else:
            self.board.probed(endpoint, None, self.now)
        self.at(self.now + PROBE_S, self.probe, endpoint)
