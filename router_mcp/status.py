"""How everything is, as plain values: what the tools, the resources, the pages and the terminal show."""

from __future__ import annotations

from dataclasses import dataclass

from router_mcp.domain import Endpoint, RuntimeKind, State
from router_mcp.health import since
from router_mcp.proofs import Firing
from router_mcp.router import Router

_BEST_FIRST: tuple[State, ...] = ("healthy", "recovering", "unknown", "unhealthy", "demoted")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """One endpoint now."""

    runtime: str
    kind: RuntimeKind
    url: str
    state: State
    since_s: float | None
    """Seconds that it has been so; `None` when it was never seen."""
    in_flight: int
    max_concurrency: int
    queued: int
    """Callers that wait for its runtime."""
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model of the catalog now; its state is that of its best replica."""

    name: str
    runtime: str
    kind: RuntimeKind
    context_window: int
    hardware: str
    state: State
    tasks: tuple[str, ...]
    constraints: Firing
    """Whether its replicas were seen to enforce a constraint; the worst of them."""
    error: str | None


def endpoints(router: Router, now: float) -> tuple[EndpointStatus, ...]:
    """Return the status of every endpoint, in the order of the policy file."""
    return tuple(_endpoint(router, endpoint, now) for endpoint in router.fleet.endpoints())


def _endpoint(router: Router, endpoint: Endpoint, now: float) -> EndpointStatus:
    config = router.fleet.policy.runtimes[endpoint.runtime]
    health = router.board.health(endpoint)
    began = since(health, now, router.board.rules)
    return EndpointStatus(
        runtime=endpoint.runtime,
        kind=config.kind,
        url=endpoint.url,
        state=router.board.standing(endpoint, "", now).state,
        since_s=None if began is None else round(now - began, 1),
        in_flight=router.book.running(endpoint),
        max_concurrency=config.concurrency,
        queued=router.book.queued(endpoint.runtime),
        error=health.error,
    )


def models(router: Router, now: float) -> tuple[ModelStatus, ...]:
    """Return the status of every model, in the order of the policy file."""
    return tuple(_model(router, name, now) for name in router.fleet.policy.models)


def _model(router: Router, name: str, now: float) -> ModelStatus:
    policy = router.fleet.policy
    config = policy.models[name]
    standings = [router.board.standing(each, name, now) for each in router.fleet.endpoints_of(config.runtime)]
    best = min(standings, key=lambda standing: _BEST_FIRST.index(standing.state))
    return ModelStatus(
        name=name,
        runtime=config.runtime,
        kind=policy.runtimes[config.runtime].kind,
        context_window=config.context_window,
        hardware=config.hardware,
        state=best.state,
        tasks=tuple(task for task, rule in policy.tasks.items() if name in rule.models),
        constraints=router.proofs.of(router.fleet.endpoints_of(config.runtime)),
        error=best.error,
    )


def not_ready(router: Router, now: float) -> str | None:
    """Return why no task could be served now; `None` when one can. What was never heard of cannot be promised."""
    states = {status.name: status for status in models(router, now)}
    policy = router.fleet.policy
    for task in policy.generative_tasks():
        if any(states[name].state in {"healthy", "recovering"} for name in policy.tasks[task].models):
            return None
    errors = dict.fromkeys(status.error for status in states.values() if status.error)
    return f"No task can be served: {' '.join(errors) or 'no runtime was heard of yet. Wait for the first probes.'}"
