"""Which models may serve a call, in which order, and why. Pure: the same facts always give the same plan.

The order is the task's own; health only moves groups of replicas behind others: those that may be used or tried
again, then the full, then those in their breaker's window, then the demoted. Demoted means last, not gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from router_mcp import tokens
from router_mcp.config.base import nearest
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Capabilities, Endpoint, GenerateRequest, State
from router_mcp.errors import InvalidArgumentsError, UnknownTaskError, WrongServerError
from router_mcp.fit import Facts, Skipped, unfit
from router_mcp.health import WELL, Standing
from router_mcp.ranks import Group
from router_mcp.replicas import Replicas
from router_mcp.rollout import NO_ROLLOUTS, Rollout

MAX_QUOTED = 80
"""Characters of a caller's own text that an error repeats."""
REPLICA_TRIES = 3
"""Replicas of one model that one call may try before it moves to another model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A model, and the replicas of its runtime that are equally well."""

    model: str
    runtime: str
    endpoints: Replicas
    state: State
    reason: str
    rank: int
    canary: bool = False
    """Whether it is a candidate, whose refusals of any kind are not the last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be tried, in order, and what will not."""

    task: str
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]


def task_of(policy: PolicyFile, asked: str | None) -> str:
    """Return the task that a call means, or raise an error that names those there are."""
    name = policy.defaults.task if asked is None else asked
    task = policy.tasks.get(name)
    if task is None:
        raise UnknownTaskError(f"There is no task {name[:MAX_QUOTED]!r}. {nearest(name, list(policy.tasks))}")
    if task.served_by:
        raise WrongServerError(
            f"Task {name!r} is served by the embeddings server. Use its tools embed_texts or rank_texts "
            f"(MCP server 'embeddings', started by `{task.served_by} serve`)."
        )
    return name


def temperature_of(policy: PolicyFile, task: str, asked: float | None) -> tuple[float, str | None]:
    """Return the temperature to use, and a note when a safety-critical task clamped it."""
    config = policy.tasks[task]
    fallback = policy.defaults.temperature if config.temperature is None else config.temperature
    wanted = fallback if asked is None else asked
    limit = policy.defaults.safety_critical_max_temperature
    if config.safety_critical and wanted > limit:
        note = f"Temperature {wanted:g} was clamped to {limit:g}: task {task!r} is safety-critical."
        return limit, note if asked is not None else None
    return wanted, None


def output_limit(policy: PolicyFile, task: str, asked: int | None) -> int:
    """Return the most tokens that an answer may have, before any model's window is looked at."""
    return asked or policy.tasks[task].max_output_tokens or policy.defaults.max_output_tokens


def facts_of(request: GenerateRequest, task: str, input_tokens: int | None = None) -> Facts:
    """Return what of a request decides its route; `input_tokens`, when known, is believed."""
    texts = (request.prompt, request.system or "", *(turn.content for turn in request.history))
    bound = tokens.Bound(texts)

    def beyond(window: int) -> int | None:
        if input_tokens is None:
            return bound.beyond(window - 1)  # one token at least is for the answer
        return input_tokens if input_tokens >= window else None

    constraint = type(request.constraint) if request.constraint else None
    return Facts(
        task=task,
        model=request.model,
        constraint=constraint,
        input_tokens=beyond,
        tenant=request.tenant,
        picked=lambda rollout: rollout.picks(request),
    )


def make_plan(
    policy: PolicyFile,
    facts: Facts,
    capabilities: Callable[[str], Capabilities],
    steps_for: Callable[[str, str, bool], Iterable[Step]],
    rollouts: Mapping[str, Rollout] = NO_ROLLOUTS,
) -> Plan:
    """Return the ordered plan for a call; raise when the pinned model is not in the catalog.

    `steps_for` is told a model, its role and whether it is a canary.
    """
    steps: list[Step] = []
    skipped: list[Skipped] = []
    for model, role, canary in _candidates(policy, facts, rollouts):
        if reason := unfit(policy, facts, model, capabilities):
            skipped.append(reason)
            continue
        steps.extend(steps_for(model, role, canary))
    steps.sort(key=attrgetter("rank"))
    return Plan(task=facts.task, steps=tuple(steps), skipped=tuple(skipped))


def _models(policy: PolicyFile, facts: Facts) -> tuple[str, ...]:
    if facts.model is None:
        return policy.tasks[facts.task].models
    if facts.model not in policy.models:
        hint = nearest(facts.model, list(policy.models))
        raise InvalidArgumentsError(f"There is no model {facts.model[:MAX_QUOTED]!r} in the catalog. {hint}")
    return (facts.model,)


def _candidates(policy: PolicyFile, facts: Facts, rollouts: Mapping[str, Rollout]) -> Iterator[tuple[str, str, bool]]:
    """Yield models in order, each with its role, and whether it is a canary; one comes just before its model."""
    for position, model in enumerate(_models(policy, facts)):
        role = _role(facts, position)
        rollout = rollouts.get(model) if facts.model is None else None
        if rollout and not rollout.shadow:
            if facts.picked(rollout):
                yield rollout.candidate, f"canary of {model}, for {rollout.share:.0%} of calls", True
            else:
                role += f"; {rollout.share:.0%} of calls try its canary first"
        yield model, role, False


def _role(facts: Facts, position: int) -> str:
    if facts.model is not None:
        return "pinned by the caller"
    return "primary of the task" if position == 0 else f"fallback {position} of the task"


def steps_of(model: str, role: str, groups: Iterable[Group], *, canary: bool = False) -> tuple[Step, ...]:
    """Return one step for each group of a model's replicas."""
    return tuple(
        Step(
            model=model,
            runtime=group.first.runtime,
            endpoints=group.replicas,
            state=group.standing.state,
            reason=_why(role, group.standing),
            rank=group.rank,
            canary=canary,
        )
        for group in groups
    )


def _why(role: str, standing: Standing) -> str:
    if standing.waiting_s:
        return f"{role}; asked to be left alone for {math.ceil(standing.waiting_s)} s"
    if standing.state in WELL:
        return f"{role}; {standing.state}{'' if standing.open else ', one call at a time for now'}"
    when = "may be tried again" if standing.open else "left alone for now"
    return f"{role}; {standing.state}, {when}: {standing.error}"


def endpoints_of(policy: PolicyFile, runtime: str) -> Replicas:
    """Return the endpoints of a runtime; the embedded one has exactly one, in a child process."""
    urls = policy.runtimes[runtime].endpoints or (f"embedded:{runtime}",)
    return Replicas(Endpoint(runtime=runtime, url=url) for url in urls)
