"""Tears a tenant down: its cached prefixes are put out of every call's reach at once, then dropped, and that is shown.

    epoch raised   every process salts the tenant's calls anew within a second: no call finds what was cached before
    drain          no process renders with the old salt any more, and what is in flight ends
    reset          each endpoint drops its cache (vLLM: of all tenants, there is no other way, B1 #12)
    proof          a marker that was cached under the old salt is found before the reset, and not after it

Each step is on disk before the next begins, so a teardown that was interrupted is finished by the next call, not
begun anew. Runtimes whose caches live in the routers' own processes are cleared there (`router_mcp.follow`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

import anyio

from router_mcp.domain import Call, Endpoint, GenerateRequest
from router_mcp.errors import AttemptError, ConfigError, InvalidArgumentsError
from router_mcp.operations.draft import draft, marker_text
from router_mcp.operations.prefix_reading import probe_once, read_prompt
from router_mcp.router import Router
from router_mcp.state.audit import audit, now
from router_mcp.state.directory import StateDirectory
from router_mcp.state.files import TENANTS, Erasure, Tenant, TenantsFile, read_state, write_state

FOLLOWED_AFTER_S = 2.0
"""By then every process salts by the new epoch (`follow.LOOK_EVERY_S`)."""
RETRY_EVERY_S = 0.5
IDLE_REFUSALS = 3
"""Refusals of an endpoint that runs nothing, after which it is taken to have no way to drop its cache."""
MARKER_WORDS = 600
"""More than four blocks of vLLM's largest kind (128 tokens), so that some of it is certainly cached."""
LONGEST_NAME = 256

Outcome = Literal["cleared", "by_routers", "still_there", "unreachable"]
Reached = Callable[[str], None]
"""Told each step that is done; tests crash there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCleared:
    """What came of one endpoint."""

    runtime: str
    endpoint: str
    outcome: Outcome
    proven: bool | None = None
    """Whether counters showed that an old prefix no longer hits; `None` where nothing could be shown."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teardown:
    """What came of a teardown."""

    tenant: str
    epoch: int
    resumed: bool
    endpoints: tuple[EndpointCleared, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left that should not be there."""
        return all(each.outcome in {"cleared", "by_routers"} for each in self.endpoints)


async def teardown(router: Router, tenant: str, *, patience_s: float, reached: Reached = lambda step: None) -> Teardown:
    """Tear a tenant down, or finish doing so; busy endpoints are waited for, in all, for `patience_s` seconds."""
    state = router.orders.state
    if state is None:
        raise ConfigError("There is no state folder to write the tenant's epoch to. Set ROUTER_MCP_STATE to one.")
    if not 0 < len(tenant) <= LONGEST_NAME:
        raise InvalidArgumentsError(f"A tenant's name has 1 to {LONGEST_NAME} characters. Give one as calls do.")
    erasure, epoch, resumed = _raise_epoch(state, tenant)
    reached("bumped")
    audit(state, f"{erasure.id}:begun", "tenant.teardown.begun", tenant, epoch=epoch)
    reached("announced")
    router.orders.look()
    await anyio.sleep(FOLLOWED_AFTER_S)
    reached("followed")
    found = await _Clearing(router, state, tenant, erasure, reached).clear_all(patience_s)
    result = Teardown(tenant=tenant, epoch=epoch, resumed=resumed, endpoints=tuple(found))
    left = [each.endpoint for each in found if each.outcome in {"still_there", "unreachable"}]
    outcome = "incomplete" if left else "cleared"
    audit(state, f"{erasure.id}:{outcome}", "tenant.teardown.ended", tenant, epoch=epoch, outcome=outcome, left=left)
    reached("recorded")
    _save(state, tenant, erasure, ended=True)
    return result


def _raise_epoch(state: StateDirectory, tenant: str) -> tuple[Erasure, int, bool]:
    """Put what is cached out of reach, unless an interrupted teardown has done so; the file says which."""
    with state.locked("tenants"):
        file = read_state(state, TENANTS, TenantsFile)
        known = file.tenants.get(tenant, Tenant(epoch=0))
        if known.erasure is not None:
            return known.erasure, known.epoch, True
        erasure = Erasure(id=uuid4().hex, began_at=now(), from_epoch=known.epoch)
        raised = Tenant(epoch=known.epoch + 1, erasure=erasure)
        write_state(state, TENANTS, TenantsFile(tenants={**file.tenants, tenant: raised}))
        return erasure, raised.epoch, False


def _save(state: StateDirectory, tenant: str, erasure: Erasure, *, ended: bool = False) -> None:
    """Write down how far a teardown has come, or that it has ended."""
    with state.locked("tenants"):
        file = read_state(state, TENANTS, TenantsFile)
        known = file.tenants.get(tenant)
        if known is None or known.erasure is None or known.erasure.id != erasure.id:
            return  # another process ended it meanwhile, and the epoch may be that of the next one
        value = known.model_copy(update={"erasure": None if ended else erasure})
        write_state(state, TENANTS, TenantsFile(tenants={**file.tenants, tenant: value}))


class _Clearing:
    """Clears the endpoints of one teardown, in turns, so that none waits for a busy one."""

    def __init__(self, router: Router, state: StateDirectory, tenant: str, erasure: Erasure, reached: Reached) -> None:
        self._router = router
        self._state = state
        self._tenant = tenant
        self._erasure = erasure
        self._reached = reached
        self._refused_idle: dict[Endpoint, int] = {}
        self._markers: dict[Endpoint, Call | None] = {}

    async def clear_all(self, patience_s: float) -> list[EndpointCleared]:
        """Return what came of each endpoint, in the order of the policy."""
        until = anyio.current_time() + patience_s
        found: dict[Endpoint, EndpointCleared] = {}
        left = list(self._router.fleet.endpoints())
        while left:
            overdue = anyio.current_time() >= until
            for endpoint in list(left):
                if result := await self._clear(endpoint, overdue=overdue):
                    found[endpoint] = result
                    left.remove(endpoint)
                    self._note(endpoint, result)
            if left:
                await anyio.sleep(RETRY_EVERY_S)
        return [found[endpoint] for endpoint in self._router.fleet.endpoints()]

    async def _clear(self, endpoint: Endpoint, *, overdue: bool) -> EndpointCleared | None:
        """Try once; `None` when it should be tried again."""
        kind = self._router.fleet.policy.runtimes[endpoint.runtime].kind
        if str(endpoint) in self._erasure.cleared:
            return _result(endpoint, "cleared", detail="It was cleared before this teardown was interrupted.")
        if kind == "embedded":
            return _result(endpoint, "by_routers", detail="Each router process drops its own within two seconds.")
        try:
            if endpoint not in self._markers:
                marker = self._marker(endpoint) if kind == "vllm" else None
                self._markers[endpoint] = marker if marker and await self._is_cached(marker) else None
            if await self._router.fleet.runtimes[endpoint.runtime].reset_cache(endpoint):
                return await self._proof(endpoint, self._markers[endpoint])
            return await self._refusal(endpoint, overdue=overdue)
        except AttemptError as error:
            return _result(endpoint, "unreachable", detail=str(error))

    async def _is_cached(self, marker: Call) -> bool:
        """Have a marker cached under the old salt, and tell whether the server's counters show that it is."""
        limit_s = self._router.fleet.policy.timeouts.long_form
        await read_prompt(self._router, marker, limit_s)
        return bool((await read_prompt(self._router, marker, limit_s)).hits)

    async def _proof(self, endpoint: Endpoint, marker: Call | None) -> EndpointCleared:
        if marker is None:
            return _result(endpoint, "cleared", detail="Its cache was dropped; it has no counters to show that by.")
        hits = (await read_prompt(self._router, marker, self._router.fleet.policy.timeouts.long_form)).hits
        if hits is None:
            return _result(endpoint, "cleared", detail="Its cache was dropped; others were at work, so nothing shows.")
        if hits:
            detail = f"{endpoint} said that it dropped its cache, and {hits} tokens of an old prefix were still there."
            return _result(endpoint, "still_there", proven=False, detail=f"{detail} Restart it.")
        return _result(endpoint, "cleared", proven=True, detail="An old prefix hit before, and no longer does.")

    async def _refusal(self, endpoint: Endpoint, *, overdue: bool) -> EndpointCleared | None:
        running = (await probe_once(self._router, endpoint)).running
        if running == 0:
            self._refused_idle[endpoint] = self._refused_idle.get(endpoint, 0) + 1
        if self._refused_idle.get(endpoint, 0) >= IDLE_REFUSALS:
            why = "it has no way to drop its cache. Open /reset_prefix_cache (docs/operations.md), or restart it."
        elif overdue:
            why = "it was in use all the time. Run this again at a quieter hour, or restart it."
        else:
            return None
        detail = f"No call reaches {self._tenant}'s old prefixes on {endpoint}, but they are still in memory: {why}"
        return _result(endpoint, "still_there", detail=detail)

    def _marker(self, endpoint: Endpoint) -> Call | None:
        """Return a call whose prompt nobody else sends, under the salt that the tenant had."""
        fleet = self._router.fleet
        models = fleet.models_on(endpoint.runtime)
        if not models:
            return None
        words = min(MARKER_WORDS, fleet.policy.models[models[0]].context_window // 2)
        request = GenerateRequest(prompt=marker_text(self._erasure.id, words), tenant=self._tenant)
        call = draft(self._router, request, fleet.policy.defaults.task, models[0], endpoint)
        return replace(call, cache_salt=self._router.orders.salt_at(self._tenant, self._erasure.from_epoch))

    def _note(self, endpoint: Endpoint, result: EndpointCleared) -> None:
        if result.outcome == "cleared":
            cleared = tuple(dict.fromkeys((*self._erasure.cleared, str(endpoint))))
            self._erasure = self._erasure.model_copy(update={"cleared": cleared})
            _save(self._state, self._tenant, self._erasure)
        key = f"{self._erasure.id}:{endpoint}:{result.outcome}"
        details = {"outcome": result.outcome, "proven": result.proven}
        audit(self._state, key, "tenant.teardown.endpoint", self._tenant, endpoint=str(endpoint), **details)
        self._reached(f"{result.outcome} {endpoint}")


def _result(endpoint: Endpoint, outcome: Outcome, *, proven: bool | None = None, detail: str) -> EndpointCleared:
    return EndpointCleared(
        runtime=endpoint.runtime, endpoint=endpoint.url, outcome=outcome, proven=proven, detail=detail
    )
