"""Asks endpoints how they are, each on its own schedule, and looks after those that say nothing. The only loop that
sleeps.

A probe never loads a model and never generates. Its answer speaks for reachability, and its counters for
progress: a runtime with calls in generation whose token counter stands still is frozen, whatever its
`/health` says (vLLM B1 #5). So is one that keeps callers waiting without a word to anyone; it is found long
before their shares of time are over.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import anyio

from router_mcp.domain import Endpoint, Probe, RuntimeKind
from router_mcp.errors import AttemptError, ModelMissingError, StalledError
from router_mcp.fleet import Fleet
from router_mcp.health import WELL
from router_mcp.prove import is_due, prove
from router_mcp.router import Router
from router_mcp.trial import try_endpoint

REMEDIES: dict[RuntimeKind, str] = {
    "vllm": "Start it with --served-model-name {name}, or correct served_name in the policy.",
    "ollama": "Run `ollama pull {name}` there, or correct served_name in the policy.",
    "embedded": "Correct the model in the policy.",
}
JITTER = 0.2
"""Part of the interval by which endpoints are spread, so that a fleet is not asked at one moment."""
FROZEN_AFTER_S = 8.0
"""Seconds without a token while calls run, after which an endpoint counts as frozen; more while it reads a prompt."""
LOOK_EVERY_S = 1.0
"""Seconds between looks at what is silent or idle; shorter when the policy probes more often."""


class Prober:
    """Keeps the router's health board fresh while `run` runs."""

    def __init__(self, router: Router, clock: Callable[[], float]) -> None:
        self._router = router
        self._now = clock
        self._watched: set[Endpoint] = set()
        self._looked_at: set[Endpoint] = set()
        self._proving: set[Endpoint] = set()

    async def run(self) -> None:
        """Probe every endpoint until cancelled, following reloads of the configuration."""
        async with anyio.create_task_group() as tasks:
            while True:
                present = set(self._router.fleet.endpoints())
                for endpoint in present - self._watched:
                    self._watched.add(endpoint)
                    tasks.start_soon(self._watch, endpoint)
                for endpoint in present - self._looked_at:
                    self._looked_at.add(endpoint)
                    tasks.start_soon(self._look_after, endpoint)
                for endpoint in present - self._proving:
                    if is_due(self._router, endpoint, self._now()):
                        self._proving.add(endpoint)
                        tasks.start_soon(self._prove, endpoint)
                await anyio.sleep(min(LOOK_EVERY_S, self._router.fleet.policy.health.interval))

    def _is_there(self, endpoint: Endpoint) -> bool:
        return endpoint in self._router.fleet

    async def _watch(self, endpoint: Endpoint) -> None:
        """Probe one endpoint at its interval, until a reload takes it away."""
        spread = blake2b(str(endpoint).encode(), digest_size=1).digest()[0] / 255
        while self._is_there(endpoint):
            await self.probe(endpoint)
            interval = self._router.fleet.policy.health.interval
            await anyio.sleep(interval * (1 - JITTER * spread))
        self._watched.discard(endpoint)

    async def _look_after(self, endpoint: Endpoint) -> None:
        """Find out about an endpoint that keeps callers waiting, or that nobody has used for long."""
        patience = self._router.fleet.policy.timeouts.inter_token
        if self._is_there(endpoint):
            if self._router.pulse.silent_s(endpoint, at_least=patience / 2):
                await self.probe(endpoint)  # its counters tell whether it works for somebody else
                self._check_silence(endpoint)
            else:
                await try_endpoint(self._router, endpoint, self._now)
        self._looked_at.discard(endpoint)

    async def _prove(self, endpoint: Endpoint) -> None:
        """Find out whether constraints fire on an endpoint; one that was busy is tried again after the next probe."""
        await prove(self._router, endpoint, self._now)
        await anyio.sleep(self._router.fleet.policy.health.interval)
        self._proving.discard(endpoint)

    def _check_silence(self, endpoint: Endpoint) -> None:
        """Hold an endpoint's silence against it, if nothing else is: otherwise calls say how their trials end."""
        board, now = self._router.board, self._now()
        if (silent_s := self._router.pulse.silent_s(endpoint)) and board.standing(endpoint, None, now).state in WELL:
            message = f"{endpoint} has said nothing to anyone for {silent_s:.0f} s. Look at its log and its load."
            board.failed(endpoint, None, StalledError(message), now)

    async def probe(self, endpoint: Endpoint) -> Probe | AttemptError:
        """Ask one endpoint now, record what it says, and return it."""
        fleet = self._router.fleet
        limit = fleet.policy.health.timeout
        try:
            with anyio.fail_after(limit):
                probe = await fleet.runtimes[endpoint.runtime].probe(endpoint)
            self._check_progress(endpoint, probe)
        except TimeoutError:
            error: AttemptError = StalledError(f"{endpoint} did not answer a health check within {limit:g} s.")
        except AttemptError as failure:
            error = failure
        else:
            self._believe(fleet, endpoint, probe)
            return probe
        self._router.board.failed(endpoint, None, error, self._now())
        return error

    def _believe(self, fleet: Fleet, endpoint: Endpoint, probe: Probe) -> None:
        """Record a good probe: the endpoint can be reached, and has the models that it says."""
        board, now, policy = self._router.board, self._now(), fleet.policy
        names = fleet.models_on(endpoint.runtime)
        there = None if probe.models is None else {name for name in names if policy.served_name(name) in probe.models}
        board.probed(endpoint, None if there is None else frozenset(there), now)
        for name in names:
            if there is not None and name not in there:
                remedy = REMEDIES[policy.runtimes[endpoint.runtime].kind].format(name=policy.served_name(name))
                board.failed(endpoint, name, ModelMissingError(f"{endpoint} does not have {name}. {remedy}"), now)

    def _check_progress(self, endpoint: Endpoint, probe: Probe) -> None:
        still_s = self._router.pulse.told(endpoint, probe)
        if still_s >= FROZEN_AFTER_S + self._router.pulse.reading_s(endpoint):
            message = f"{endpoint} runs calls but has made no token for {still_s:.0f} s. Restart its engine."
            raise StalledError(message)
