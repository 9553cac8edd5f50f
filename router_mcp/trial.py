"""Trials that no caller pays for: one token asked of an endpoint that may have recovered, or may be frozen.

vLLM's `/health` answers 200 while its engine is frozen, and while it is idle no counter could stand still (B1 #5).
So a vLLM that nobody has used for `health.canary` seconds is asked for a token. An Ollama is not: it replaces a
frozen runner by itself (Ollama #12), and trials would keep its model in memory for ever.

Any endpoint that stalled is tried so before a caller is; one that failed otherwise only when it has no callers,
who would know better. A trial never loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from uuid import uuid4

import anyio

from router_mcp.config.policy_file import GenerationHealth
from router_mcp.domain import Call, Endpoint, Message, RuntimeKind
from router_mcp.errors import AttemptError, StalledError, UnreachableError
from router_mcp.health import WELL, Health, Standing
from router_mcp.router import Router

FREEZES_UNSEEN: frozenset[RuntimeKind] = frozenset({"vllm"})
PATIENCE: Mapping[RuntimeKind, float] = MappingProxyType({"vllm": 2.5, "ollama": 12.5, "embedded": 2.5})
"""A token may take this many times what a health check may. Ollama replaces a frozen runner after 22 s (#12)."""
LEAD_S = 1.5
"""A trial goes this long before the breaker's window ends, so that it is over when callers are let back."""


def is_due(
    health: Health, standing: Standing, idle_s: float, rules: GenerationHealth, now: float, *, freezes_unseen: bool
) -> bool:
    """Tell whether an endpoint should be tried now, from how it is and for how long nobody has used it."""
    if not rules.canary or standing.waiting_s:
        return False
    if standing.state in WELL:
        return freezes_unseen and idle_s >= rules.canary
    if health.outcome == StalledError.outcome:
        return now >= health.retry_at - LEAD_S
    return health.outcome != UnreachableError.outcome and standing.open and idle_s >= rules.canary


class Deaf:
    """A listener to whom the answer does not matter."""

    def text(self, delta: str) -> None:
        """Take no notice."""

    def alive(self) -> None:
        """Take no notice."""


async def try_endpoint(router: Router, endpoint: Endpoint, clock: Callable[[], float]) -> None:
    """Ask an endpoint for one token if that is due, and record what came of it where calls are recorded."""
    board, policy, now = router.board, router.fleet.policy, clock()
    kind = policy.runtimes[endpoint.runtime].kind
    standing, idle_s = board.standing(endpoint, None, now), router.pulse.idle_s(endpoint)
    unseen = kind in FREEZES_UNSEEN
    if not is_due(board.health(endpoint), standing, idle_s, policy.health, now, freezes_unseen=unseen):
        return
    if (model := model_in_memory(router, endpoint)) is None:
        return
    trials = board.begin(endpoint, model, now)
    try:
        if standing.state in WELL or trials:
            await _ask(router, endpoint, model, clock, limit=PATIENCE[kind] * policy.health.timeout)
    finally:
        board.settle(trials)


def model_in_memory(router: Router, endpoint: Endpoint) -> str | None:
    """Return a model that is in memory there and that nothing is held against."""
    fleet, probe = router.fleet, router.pulse.probe(endpoint)
    if probe is None:
        return None
    for name in fleet.models_on(endpoint.runtime):
        in_memory = probe.loaded is None or fleet.policy.served_name(name) in probe.loaded
        if in_memory and router.board.health(endpoint, name).failing_since is None:
            return name
    return None


async def _ask(router: Router, endpoint: Endpoint, model: str, clock: Callable[[], float], *, limit: float) -> None:
    fleet, begun = router.fleet, clock()
    call = Call(
        endpoint=endpoint,
        model=fleet.policy.served_name(model),
        messages=(Message(role="user", content="Hi"),),
        temperature=0.0,
        max_output_tokens=1,
        context_window=fleet.policy.models[model].context_window,
        request_id=f"canary-{uuid4().hex}",
    )
    try:
        with anyio.fail_after(limit):
            await fleet.runtimes[endpoint.runtime].generate(call, Deaf())
    except TimeoutError:
        message = f"{endpoint} answers health checks but made no token within {limit:g} s. Restart its engine."
        router.board.failed(endpoint, model, StalledError(message), clock())
    except AttemptError as error:
        router.board.failed(endpoint, model, error, clock())
    else:
        router.board.succeeded(endpoint, model, clock(), begun=begun)
        router.pulse.heard(endpoint, clock())
