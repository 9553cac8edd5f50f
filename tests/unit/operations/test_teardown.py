"""A tenant is torn down: out of reach at once, dropped everywhere, and shown to be gone."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import GenerateRequest
from router_mcp.edge.operated import obey
from router_mcp.errors import ConfigError, InvalidArgumentsError, UnreachableError
from router_mcp.operations.tenants import Teardown, teardown
from router_mcp.router import Router
from router_mcp.runtimes.base import Runtime
from router_mcp.state.audit import last_lines
from router_mcp.state.directory import StateDirectory
from router_mcp.state.files import TENANTS, Tenant, TenantsFile, read_state, write_state
from router_mcp.wiring import Outside, open_router
from tests.caching import CachingRuntime
from tests.scripted import ScriptedRuntime
from tests.unit.operations.test_canary import Crash

pytestmark = pytest.mark.anyio

POLICY = PolicyFile.model_validate(
    {
        "version": 1,
        "runtimes": {
            "gpu": {"kind": "vllm", "endpoints": ("http://gpu-1", "http://gpu-2")},
            "laptop": {"kind": "ollama", "endpoints": ("http://127.0.0.1:11434",)},
            "own": {"kind": "embedded"},
        },
        "models": {
            "big": {"runtime": "gpu", "context_window": 8192},
            "small": {"runtime": "laptop", "context_window": 4096},
            "tiny": {"runtime": "own", "context_window": 2048},
        },
        "tasks": {"reasoning": {"models": ("big", "small", "tiny")}},
        "defaults": {"task": "reasoning"},
    }
)
PROMPT = "a secret of acme that is long enough to be cached " * 20


@dataclass
class Fleet:
    """Runtimes of one machine, and its state folder."""

    folder: Path
    gpu: CachingRuntime = field(default_factory=CachingRuntime)
    laptop: CachingRuntime = field(default_factory=lambda: CachingRuntime(counts=False))
    own: CachingRuntime = field(default_factory=CachingRuntime)

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(self.folder / "state")

    def _make(self, name: str, policy: PolicyFile) -> Runtime:
        runtimes: dict[str, ScriptedRuntime] = {"gpu": self.gpu, "laptop": self.laptop, "own": self.own}
        return runtimes[name]

    @asynccontextmanager
    async def router(self) -> AsyncGenerator[Router]:
        environ = {"ROUTER_MCP_STATE": str(self.state), "ROUTER_MCP_SALT_SECRET": "secret"}
        outside = Outside(environ=environ, wall=anyio.current_time, make_runtime=self._make)
        async with open_router(POLICY, None, outside) as router:
            yield router

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[Router]:
        """Open a router as `serve` does, which follows orders."""
        async with self.router() as router, anyio.create_task_group() as tasks:
            tasks.start_soon(obey, router, anyio.current_time)
            yield router
            tasks.cancel_scope.cancel()

    def audited(self) -> list[str]:
        return [str(line["action"]).removeprefix("tenant.teardown.") for line in last_lines(self.state)]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


async def tear_down(fleet: Fleet, tenant: str = "acme", **more: Any) -> Teardown:
    async with fleet.router() as router:
        return await teardown(router, tenant, patience_s=more.pop("patience_s", 60), **more)


async def hits(fleet: Fleet, router: Router, tenant: str) -> int:
    """Have a tenant ask its question, and return how much of it was cached."""
    before = sum(shelf.hit for shelf in fleet.gpu.shelves.values())
    await router.generate(GenerateRequest(prompt=PROMPT, tenant=tenant))
    return sum(shelf.hit for shelf in fleet.gpu.shelves.values()) - before


async def test_tenants_share_nothing_and_one_that_is_torn_down_finds_nothing(fleet: Fleet) -> None:
    async with fleet.served() as router:
        assert await hits(fleet, router, "acme") == 0
        assert await hits(fleet, router, "acme") > 100
        assert await hits(fleet, router, "globex") == 0
        done = await tear_down(fleet)
        assert await hits(fleet, router, "acme") == 0
    assert done.complete
    assert [(each.endpoint, each.outcome, each.proven) for each in done.endpoints] == [
        ("http://gpu-1", "cleared", True),
        ("http://gpu-2", "cleared", True),
        ("http://127.0.0.1:11434", "cleared", None),
        ("embedded:own", "by_routers", None),
    ]
    assert fleet.audited() == ["begun", "endpoint", "endpoint", "endpoint", "endpoint", "ended"]


async def test_two_routers_salt_anew_within_two_seconds_of_the_order(fleet: Fleet) -> None:
    async with fleet.served() as one, fleet.served() as other:
        old = [router.orders.salt("acme") for router in (one, other)]
        untouched = one.orders.salt("globex")
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tear_down, fleet)
            while [router.orders.salt("acme") for router in (one, other)] == old:
                await anyio.sleep(0.1)
            await anyio.sleep(0.6)
            new = {router.orders.salt("acme") for router in (one, other)}
            assert len(new) == 1
            assert not new & set(old)
            assert anyio.current_time() - began < 2
    assert untouched == one.orders.salt("globex")


async def test_routers_drop_what_their_own_children_cached(fleet: Fleet) -> None:
    async with fleet.served():
        await tear_down(fleet)
        assert fleet.own.resets == 1
        fleet.own.failure = UnreachableError("it cannot be reached.")
        await tear_down(fleet)  # is said in the log of that router, and stops nothing


async def test_a_busy_endpoint_is_asked_again_until_it_has_dropped_its_cache(fleet: Fleet) -> None:
    fleet.gpu.refuses, fleet.gpu.busy = 20, 2
    done = await tear_down(fleet)
    assert done.complete
    assert fleet.gpu.resets == 22


async def test_what_cannot_be_dropped_is_said_and_the_old_prefixes_are_out_of_reach_all_the_same(fleet: Fleet) -> None:
    fleet.gpu.refuses = 10**6
    async with fleet.served() as router:
        await hits(fleet, router, "acme")
        done = await tear_down(fleet)
        assert await hits(fleet, router, "acme") == 0
    assert not done.complete
    first = done.endpoints[0]
    assert first.outcome == "still_there"
    assert "has no way to drop its cache" in first.detail
    assert "No call reaches acme's old prefixes" in first.detail
    assert last_lines(fleet.state)[-1]["left"] == ["http://gpu-1", "http://gpu-2"]


async def test_an_endpoint_in_use_all_the_time_is_said_when_patience_ends(fleet: Fleet) -> None:
    fleet.gpu.refuses, fleet.gpu.busy = 10**6, 3
    began = anyio.current_time()
    done = await tear_down(fleet, patience_s=10)
    assert "in use all the time" in done.endpoints[0].detail
    assert anyio.current_time() - began < 15


async def test_a_runtime_that_only_says_that_it_dropped_its_cache_is_caught(fleet: Fleet) -> None:
    """A lower tier may go on serving what the upper one dropped (gateways.md L25)."""
    fleet.gpu.keeps_all = True
    done = await tear_down(fleet)
    assert not done.complete
    assert done.endpoints[0].proven is False
    assert "tokens of an old prefix were still there" in done.endpoints[0].detail


@pytest.mark.parametrize(("change", "said"), [({"counts": False}, "no counters"), ({"strangers": 7}, "no counters")])
async def test_without_counters_for_itself_a_teardown_claims_no_proof(
    fleet: Fleet, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(fleet.gpu, name, value)
    done = await tear_down(fleet)
    assert done.complete
    assert done.endpoints[0].proven is None
    assert said in done.endpoints[0].detail


async def test_strangers_at_work_during_the_proof_leave_it_open(fleet: Fleet) -> None:
    async with fleet.router() as router:
        real = fleet.gpu.reset_cache

        async def reset(endpoint: Any) -> bool:
            fleet.gpu.strangers = 3
            return await real(endpoint)

        fleet.gpu.reset_cache = reset  # type: ignore[method-assign]  # others begin to work just then
        done = await teardown(router, "acme", patience_s=60)
    assert "others were at work" in done.endpoints[0].detail


async def test_an_endpoint_that_is_down_is_said(fleet: Fleet) -> None:
    fleet.laptop.failure = UnreachableError("laptop cannot be reached. Start it.")
    done = await tear_down(fleet)
    assert not done.complete
    assert (done.endpoints[2].outcome, done.endpoints[2].detail) == (
        "unreachable",
        "laptop cannot be reached. Start it.",
    )


async def steps(folder: Path) -> list[str]:
    reached: list[str] = []
    await tear_down(Fleet(folder), reached=reached.append)
    return reached


STEPS = (
    "bumped",
    "announced",
    "followed",
    "cleared gpu (http://gpu-1)",
    "cleared gpu (http://gpu-2)",
    "cleared laptop (http://127.0.0.1:11434)",
    "by_routers own (embedded:own)",
    "recorded",
)


async def test_these_are_the_steps(tmp_path: Path) -> None:
    assert tuple(await steps(tmp_path)) == STEPS


@pytest.mark.parametrize("step", STEPS)
async def test_a_teardown_that_crashed_at_any_step_is_finished_by_the_next(fleet: Fleet, step: str) -> None:
    def crash(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        await tear_down(fleet, reached=crash)
    resets = fleet.gpu.resets
    done = await tear_down(fleet)
    assert done.complete
    assert (done.epoch, done.resumed) == (1, True)
    assert json.loads((fleet.state.path / "tenants.json").read_text())["tenants"] == {"acme": {"epoch": 1}}
    assert fleet.audited() == ["begun", "endpoint", "endpoint", "endpoint", "endpoint", "ended"]
    cleared_before = sum(each.startswith("cleared gpu") for each in STEPS[: STEPS.index(step) + 1])
    assert fleet.gpu.resets - resets == 2 - cleared_before


async def test_each_teardown_is_a_new_epoch_and_tenants_do_not_meet(fleet: Fleet) -> None:
    assert [(await tear_down(fleet)).epoch for _ in range(2)] == [1, 2]
    assert (await tear_down(fleet, "globex")).epoch == 1
    assert json.loads((fleet.state.path / "tenants.json").read_text())["tenants"] == {
        "acme": {"epoch": 2}, "globex": {"epoch": 1},
    }  # fmt: skip


@pytest.mark.parametrize("step", ["followed", "recorded"])
async def test_a_teardown_that_another_process_overtook_never_takes_its_epoch_back(fleet: Fleet, step: str) -> None:
    later = TenantsFile(tenants={"acme": Tenant(epoch=2)})

    def overtaken(reached: str) -> None:
        if reached == step:
            write_state(fleet.state, TENANTS, later)

    assert (await tear_down(fleet, reached=overtaken)).complete
    assert read_state(fleet.state, TENANTS, TenantsFile) == later


@pytest.mark.parametrize("tenant", ["", "x" * 257])
async def test_a_name_that_no_call_could_have_is_refused(fleet: Fleet, tenant: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="1 to 256 characters"):
        await tear_down(fleet, tenant)


async def test_without_a_state_folder_nothing_is_promised(fleet: Fleet) -> None:
    outside = Outside(environ={}, make_runtime=fleet._make)
    async with open_router(POLICY, None, outside) as router:
        with pytest.raises(ConfigError, match="Set ROUTER_MCP_STATE"):
            await teardown(router, "acme", patience_s=1)


async def test_a_process_that_starts_after_a_teardown_salts_by_the_new_epoch(fleet: Fleet) -> None:
    async with fleet.router() as router:
        old = router.orders.salt("acme")
    await tear_down(fleet)
    async with fleet.router() as router:
        assert router.orders.salt("acme") not in {old, None}
        assert router.orders.salt_at("acme", 0) == old
        assert router.orders.salt(None) is None
