"""A failover drill on the live configuration: what callers would notice if runtimes were down, measured.

Nothing is harmed. The drill refuses to use what it calls down, in a router of its own, whose health nobody else
sees; every other runtime is really asked. Three short calls are made for each task: before, when the models go
down, and once more, which must not pay for them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Attempt, Call, Capabilities, Completion, Endpoint, GenerateRequest, Listener, Probe
from router_mcp.errors import ModelMissingError, RouterError, UnreachableError
from router_mcp.policy import REPLICA_TRIES, endpoints_of
from router_mcp.router import Router
from router_mcp.runtimes.base import Runtime
from router_mcp.wiring import Outside, make_runtime, open_router

Kill = Literal["primary", "all-but-last"]
PROMPT = "Answer with one word: ready."
MAX_OUTPUT_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDrill:
    """What one task's drill showed. Times are in seconds; `None` where no call was served."""

    task: str
    killed: tuple[str, ...]
    """Models that were refused."""
    before: str | None
    """The model that served while nothing was refused."""
    served_by: str | None
    """The model that served when they were."""
    failover_s: float | None = None
    """Time that the call lost on attempts that failed."""
    allowed_s: float
    """What the policy lets dead hosts cost: `timeouts.connect` for each try."""
    seconds: float | None = None
    """The whole call."""
    deadline_s: float
    next_failover_s: float | None = None
    """Time that the next call lost."""
    problems: tuple[str, ...] = ()
    """What is out of policy, with what to do."""


@dataclass(slots=True)
class Outage:
    """What is refused now: whole runtimes, or single models (runtime and served name) of one that must live."""

    runtimes: frozenset[str] = frozenset()
    models: frozenset[tuple[str, str]] = frozenset()

    def strike(self, policy: PolicyFile, killed: tuple[str, ...], survivors: tuple[str, ...]) -> None:
        """Refuse models: with their whole runtime, unless a survivor needs that."""
        needed = {policy.models[name].runtime for name in survivors}
        self.runtimes = frozenset(policy.models[name].runtime for name in killed) - needed
        self.models = frozenset((policy.models[name].runtime, policy.served_name(name)) for name in killed)

    def check(self, endpoint: Endpoint, model: str | None = None) -> None:
        """Raise as a runtime would that is down, or that lacks the model."""
        if endpoint.runtime in self.runtimes:
            raise UnreachableError(f"{endpoint} is refused by the drill. Nothing was sent to it.")
        if (endpoint.runtime, model) in self.models:
            raise ModelMissingError(f"{endpoint} is not asked for {model} during the drill. Nothing was sent to it.")


@dataclass(slots=True)
class Refusing:
    """A runtime that is asked only for what the outage leaves."""

    inner: Runtime
    outage: Outage

    @property
    def capabilities(self) -> Capabilities:
        """As of the runtime."""
        return self.inner.capabilities

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Run a call, unless it is refused."""
        self.outage.check(call.endpoint, call.model)
        return await self.inner.generate(call, listener)

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Probe an endpoint, unless it is refused."""
        self.outage.check(endpoint)
        return await self.inner.probe(endpoint)

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Do nothing: a drill leaves caches alone."""
        return False

    async def aclose(self) -> None:
        """Close what was opened."""
        await self.inner.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """How one of the three calls ended."""

    model: str | None = None
    attempts: tuple[Attempt, ...] = ()
    seconds: float = 0.0
    finish: str | None = None
    error: str | None = None

    @property
    def lost_s(self) -> float:
        return round(sum(attempt.seconds for attempt in self.attempts if attempt.outcome != "ok"), 4)


async def drill_task(policy: PolicyFile, task: str, kill: Kill, outside: Outside) -> TaskDrill:
    """Drill one task that has models; the errors that calls end in are in the result."""
    models = policy.tasks[task].models
    killed, survivors = (models[:1], models[1:]) if kill == "primary" else (models[:-1], models[-1:])
    outage = Outage()
    make = outside.make_runtime or (lambda name, policy: make_runtime(name, policy, outside.environ))
    outside = replace(
        outside, make_runtime=lambda name, policy: Refusing(make(name, policy), outage), obeys_orders=False
    )
    async with open_router(policy, outside=outside) as router:
        before = await _ask(router, task)
        outage.strike(policy, killed, survivors)
        first, then = await _ask(router, task), await _ask(router, task)
    allowed_s = policy.timeouts.connect * sum(_tries(policy, name) for name in killed)
    return TaskDrill(
        task=task,
        killed=killed,
        before=before.model,
        served_by=first.model,
        failover_s=first.lost_s if first.model else None,
        allowed_s=allowed_s,
        seconds=first.seconds if first.model else None,
        deadline_s=policy.deadline(task),
        next_failover_s=then.lost_s if then.model else None,
        problems=_problems(policy, survivors, {"before": before, "first": first, "then": then}, allowed_s),
    )


async def _ask(router: Router, task: str) -> _Asked:
    request = GenerateRequest(prompt=PROMPT, task=task, max_output_tokens=MAX_OUTPUT_TOKENS)
    try:
        result = await router.generate(request)
    except RouterError as error:
        return _Asked(error=str(error), attempts=error.receipt.attempts if error.receipt else ())
    receipt = result.receipt
    return _Asked(model=result.model, attempts=receipt.attempts, seconds=receipt.seconds, finish=result.finish_reason)


def _tries(policy: PolicyFile, model: str) -> int:
    return min(REPLICA_TRIES, len(endpoints_of(policy, policy.models[model].runtime)))


def _problems(
    policy: PolicyFile, survivors: tuple[str, ...], asked: Mapping[str, _Asked], allowed_s: float
) -> tuple[str, ...]:
    """List what is out of policy."""
    before, first, then = asked["before"], asked["first"], asked["then"]
    if before.error:
        return (f"No model serves this task even now. {before.error}",)
    if not survivors:
        return ("The task has one model, so nothing is left when it is down. Give it a fallback in `models`.",)
    if first.error:
        return (f"No fallback served. {first.error}",)
    problems = []
    if first.finish == "deadline":
        problems.append("The fallback did not end its answer in time. Warm it, or give the task a longer timeout.")
    elif first.lost_s > allowed_s:
        problems.append(f"{first.lost_s:.2f} s were lost on models that are not down. Look at their runtimes.")
    if then.error:
        problems.append(f"The fallback served once and then no more. {then.error}")
    elif then.lost_s:
        problems.append(f"The next call lost {then.lost_s:.2f} s on runtimes that had failed just before.")
    return tuple(problems)
