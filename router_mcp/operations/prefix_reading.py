"""Has a prompt read, and tells from vLLM's own counters how much of it was in the prefix cache.

The counters are those of the whole server, so they speak for one call only when they grew by just its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from router_mcp.domain import Call, Endpoint, Probe
from router_mcp.errors import StalledError
from router_mcp.router import Router

COUNTED_WITHIN_S = 3.0
"""Counters follow an answer at once on an idle machine, and within this on a busy one."""
LOOK_EVERY_S = 0.1
PROBES = 5
"""A probe gives its counters half a second; asked again, a busy server mostly has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One prompt, read once."""

    input_tokens: int
    first_token_s: float
    hits: int | None
    """Tokens that were in the cache; `None` where nobody counts, or others were at work meanwhile."""


@dataclass(slots=True)
class _Stopwatch:
    """A listener that only wants to know when the first token comes."""

    began: float
    first_token_s: float | None = None

    def text(self, delta: str) -> None:
        self.alive()

    def alive(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = anyio.current_time() - self.began


async def read_prompt(router: Router, call: Call, limit_s: float) -> Reading:
    """Make a call of one token and return what came of it; raise an `AttemptError` when it fails."""
    runtime = router.fleet.runtimes[call.endpoint.runtime]
    before = await _counters(router, call.endpoint)
    watch = _Stopwatch(anyio.current_time())
    try:
        with anyio.fail_after(limit_s):
            completion = await runtime.generate(call, watch)
    except TimeoutError:
        raise StalledError(f"{call.endpoint} did not read a prompt within {limit_s:g} s. Look at its load.") from None
    took = watch.first_token_s if watch.first_token_s is not None else anyio.current_time() - watch.began
    tokens = completion.usage.input_tokens
    hits = None if before is None else await _hits(router, call.endpoint, before, tokens)
    return Reading(input_tokens=tokens, first_token_s=took, hits=hits)


async def _hits(router: Router, endpoint: Endpoint, before: tuple[int, int], tokens: int) -> int | None:
    with anyio.move_on_after(COUNTED_WITHIN_S):
        while True:
            after = await _counters(router, endpoint)
            if after is not None and after[0] - before[0] >= tokens:
                return after[1] - before[1] if after[0] - before[0] == tokens else None
            await anyio.sleep(LOOK_EVERY_S)
    return None


async def _counters(router: Router, endpoint: Endpoint) -> tuple[int, int] | None:
    """Return tokens looked for and found, as far as the server says."""
    for _ in range(PROBES):
        probe = await probe_once(router, endpoint)
        if probe.prefix_queried is not None and probe.prefix_hit is not None:
            return probe.prefix_queried, probe.prefix_hit
        if probe.running is not None:
            return None  # it tells its load, and nothing of a cache
    return None


async def probe_once(router: Router, endpoint: Endpoint) -> Probe:
    """Ask an endpoint how it is; raise an `AttemptError` when it does not say within the policy's time."""
    limit = router.fleet.policy.health.timeout
    try:
        with anyio.fail_after(limit):
            return await router.fleet.runtimes[endpoint.runtime].probe(endpoint)
    except TimeoutError:
        raise StalledError(f"{endpoint} did not answer a health check within {limit:g} s.") from None
