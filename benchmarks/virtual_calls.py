"""Calls in virtual time: what `Router._serve` does between its awaits, in the world of `benchmarks.virtual`."""

# ruff: noqa: SLF001 - it stands where the router's own loop does

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from router_mcp.affinity import prefix_key
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    OverloadedError,
    QueueFullError,
    StoodBackError,
    UnreachableError,
)
from router_mcp.ranks import rank_of
from router_mcp.stream import Attention
from router_mcp.verdict import again, shares

if TYPE_CHECKING:
    from benchmarks.virtual import Simulation
    from router_mcp.board import Key
    from router_mcp.domain import Endpoint, GenerateRequest
    from router_mcp.line import Waiter
    from router_mcp.policy import Step
    from router_mcp.record import CallRecord

SERVICE_S = 2.0
"""How long an endpoint takes for a call, on average."""
BREAKS, WAITS = 0.001, 0.005
"""The part of attempts that break halfway, and of those that are told to wait."""
SAMPLE = 8
"""The cost of one decision in so many is measured, lest the measuring be what is measured."""


class Signal:
    """What a caller in the queue waits for, in place of an event of an event loop."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.set = wake

    def wait(self) -> Signal:
        """Return itself, for `await`."""
        return self

    def __await__(self) -> Generator[None]:
        yield


class Call:
    """One call: what `Router._serve` does between its awaits."""

    def __init__(self, world: Simulation, request: GenerateRequest) -> None:
        self.world = world
        self.request = request
        self.begun_ns = 0
        self.timed = next(world.turns) % SAMPLE == 0
        self.record: CallRecord
        self.route: list[Step]

    def begin(self) -> None:
        """Plan, and make the first attempt."""
        self.begun_ns = time.thread_time_ns() if self.timed else 0
        self.record = self.world.router._admit(self.request, "call", Attention())
        self.route = list(self.record.plan.steps)
        self.next()

    def next(self) -> None:
        """Ask the next step's replica, or give up."""
        world, now = self.world, self.world.now
        if not self.route or self.record.budget.remaining(now) <= 0:
            world.out.refused["deadline" if self.route else "no runtime"] += 1
            return
        step = self.route.pop(0)
        share = shares(step, self.route)
        full = world.book.is_full(step.runtime, step.endpoints)
        order = self.world.router._order(self.record, step)
        endpoint = None if full else world.book.take(step.runtime, order)
        if endpoint is None:
            self.begun_ns = 0
            Wait(self, step, self.record.budget.first_token_by(now, share)).begin()
            return
        self.ask(step, endpoint)

    def ask(self, step: Step, endpoint: Endpoint) -> None:
        """Use a slot."""
        world, held = self.world, self.world.book.held(endpoint)
        held.__enter__()
        if rank_of(world.board.standing(endpoint, step.model, world.now)) > step.rank:
            held.__exit__(None, None, None)
            self.failed(step, endpoint, StoodBackError(f"{endpoint} became unwell."))
            return
        trials = world.board.begin(endpoint, step.model, world.now)
        if self.begun_ns:
            world.out.decisions_us.append((time.thread_time_ns() - self.begun_ns) / 1000)
            self.begun_ns = 0
        attempt = Attempt(self, step, endpoint, world.now, trials, held)
        world.out.attempts[world.phase()] += 1
        if world.phase() == "before" and step.runtime == "fleet":
            world.out.per_endpoint[endpoint] += 1
            world.out.at_home += endpoint == self.home()
        world.running[endpoint][attempt] = None
        attempt.plan_its_end()

    def home(self) -> Endpoint:
        """Return the replica that the prompt belongs to."""
        world = self.world
        if self.request.prompt not in world.homes:
            ring = world.router.fleet.ring("fleet")
            world.homes[self.request.prompt] = next(ring.walk(prefix_key(None, None, self.request.prompt)))
        return world.homes[self.request.prompt]

    def failed(self, step: Step, endpoint: Endpoint | None, error: AttemptError) -> None:
        """Do what follows a failed attempt."""
        world, self.begun_ns = self.world, 0
        self.record.tried(step, endpoint, 0.0, error)
        if endpoint is not None:
            world.board.failed(endpoint, step.model, error, world.now)
        if not error.try_next:
            world.out.refused[error.code] += 1
            return
        first, last = again(self.record, step, error)
        self.route = [*first, *self.route, *last]
        self.next()


@dataclass(eq=False)
class Attempt:
    """One attempt in flight."""

    call: Call
    step: Step
    endpoint: Endpoint
    begun: float
    trials: frozenset[Key]
    held: Any
    over: bool = False

    def plan_its_end(self) -> None:
        """Decide how it will end, and when."""
        world, luck = self.call.world, self.call.world.dice.random()
        if world.is_lost(self.endpoint):
            refused = UnreachableError(f"{self.endpoint} cannot be reached (Connection refused).")
            world.at(world.now + 0.001, self.end, refused)
        elif luck < BREAKS:
            world.at(world.now + SERVICE_S / 2, self.end, BrokenStreamError(f"{self.endpoint} broke off its answer."))
        elif luck < BREAKS + WAITS:
            full = OverloadedError(f"{self.endpoint} asks to wait (429).", retry_after_s=1.0)
            world.at(world.now + 0.001, self.end, full)
        else:
            world.at(world.now + world.dice.expovariate(1 / SERVICE_S), self.end, None)

    def end(self, error: AttemptError | None) -> None:
        """Give the slot back, and tell the board."""
        if self.over:
            return
        self.over = True
        world = self.call.world
        del world.running[self.endpoint][self]
        world.board.settle(self.trials)
        if error is None:
            world.board.succeeded(self.endpoint, self.step.model, world.now, begun=self.begun)
            world.out.served[self.step.model] += 1
        self.held.__exit__(None, None, None)
        if error is not None:
            self.call.failed(self.step, self.endpoint, error)


class Wait:
    """A call in the queue: the admission book's own coroutine, woken by a signal of ours."""

    def __init__(self, call: Call, step: Step, until: float) -> None:
        self.call = call
        self.step = step
        self.until = until
        self.over = False
        self.waiting: Coroutine[Any, Any, Endpoint]

    def begin(self) -> None:
        """Stand in the queue."""
        world = self.call.world
        self.waiting = world.book.wait(self.step.runtime, self.step.endpoints, None, self._arm)
        world.at(self.until, self.give_up)
        self.resume()

    def _arm(self, waiter: Waiter | None) -> None:
        if waiter is not None:
            waiter.event = Signal(lambda: self.call.world.at(self.call.world.now, self.resume))  # type: ignore[assignment] # as said

    def resume(self) -> None:
        """Go on with what the book decided."""
        if self.over:
            return
        try:
            self.waiting.send(None)
        except StopIteration as granted:
            self.over = True
            self.call.ask(self.step, granted.value)
        except QueueFullError as full:
            self.over = True
            self.call.failed(self.step, None, full)

    def give_up(self) -> None:
        """Leave the queue when the attempt's share of the time is over."""
        if not self.over:
            self.over = True
            self.waiting.close()
            self.call.failed(self.step, None, QueueFullError("no free slot in time", retry_after_s=1.0))
