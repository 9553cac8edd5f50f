"""Trials that no caller pays for: one token asked of a vLLM whose engine may be frozen.

Its `/health` answers 200 meanwhile, and while it is idle no counter could stand still (vLLM B1 #5). So one that
nobody has used for `health.canary` seconds is asked for a token; and one that stalled is tried so before a caller
is. Nobody else is asked: Ollama replaces a frozen runner by itself (Ollama #12), and a trial would keep its model
in memory for ever; the embedded runtime answers health checks in the process that generates.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import anyio

from router_mcp.config.policy_file import GenerationHealth
from router_mcp.domain import Call, Endpoint, Message
from router_mcp.errors import AttemptError, StalledError, UnreachableError
from router_mcp.health import WELL, Health, Standing
from router_mcp.router import Router

KINDS = frozenset({"vllm"})
PATIENCE = 2.5
"""A token may take this many times what a health check may."""
LEAD_S = 1.5
"""A trial goes this long before the breaker's window ends, so that it is over when callers are let back."""


def is_due(health: Health, standing: Standing, idle_s: float, rules: GenerationHealth, now: float) -> bool:
    """Tell whether an endpoint should be tried now, from how it is and for how long nobody has used it."""
    if not rules.canary or standing.waiting_s:
        return False
    if standing.state in WELL:
        return idle_s >= rules.canary
    if health.outcome == StalledError.outcome:
        return now >= health.retry_at - LEAD_S
    # Whatever else failed with calls may fail with the next one too, so callers come first while there are any.
    return health.outcome != UnreachableError.outcome and standing.open and idle_s >= rules.canary


class _Deaf:
    """A listener to whom the answer does not matter."""

    def text(self, delta: str) -> None:
        pass

    def alive(self) -> None:
        pass


async def try_endpoint(router: Router, endpoint: Endpoint, clock: Callable[[], float]) -> None:
    """Ask an endpoint for one token if that is due, and record what came of it where calls are recorded."""
    board, fleet, now = router.board, router.fleet, clock()
    rules, runtime = fleet.policy.health, endpoint.runtime
    if fleet.policy.runtimes[runtime].kind not in KINDS:
        return
    standing = board.standing(endpoint, None, now)
    if not is_due(board.health(endpoint), standing, router.pulse.idle_s(endpoint), rules, now):
        return
    model = next((each for each in fleet.models_on(runtime) if board.health(endpoint, each).failing_since is None), "")
    if not model:
        return
    trials = board.begin(endpoint, model, now)
    try:
        if standing.state in WELL or trials:
            await _ask(router, endpoint, model, clock)
    finally:
        board.settle(trials)


async def _ask(router: Router, endpoint: Endpoint, model: str, clock: Callable[[], float]) -> None:
    fleet = router.fleet
    limit = PATIENCE * fleet.policy.health.timeout
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
            await fleet.runtimes[endpoint.runtime].generate(call, _Deaf())
    except TimeoutError:
        message = f"{endpoint} answers health checks but made no token within {limit:g} s. Restart its engine."
        router.board.failed(endpoint, model, StalledError(message), clock())
    except AttemptError as error:
        router.board.failed(endpoint, model, error, clock())
    else:
        router.board.succeeded(endpoint, model, clock())
        router.pulse.heard(endpoint, clock())
