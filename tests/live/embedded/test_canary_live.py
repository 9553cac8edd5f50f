"""A canary on two real llama.cpp runtimes of one policy: tested, given its share, promoted; and one that dies."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest

from router_mcp.config import load_config, shipped
from router_mcp.config.smoke_file import load_smoke
from router_mcp.domain import GenerateRequest
from router_mcp.edge.operated import obey
from router_mcp.operations.canary import Canaries
from router_mcp.operations.smoke import SmokeSuite
from router_mcp.prober import Prober
from router_mcp.reload import Reloader
from router_mcp.router import Router
from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.state.audit import last_lines
from router_mcp.state.directory import StateDirectory
from router_mcp.wiring import Outside, open_router

pytestmark = pytest.mark.anyio

MODEL = "smollm2-135m-instruct"
CALLS = int(os.environ.get("CANARY_CALLS", "0"))
"""Calls that a bad canary is watched for at least; 1,000 take two minutes."""
POLICY = """\
# two children of one router
version: 1
runtimes:
  embedded: {{kind: embedded, gguf: "{gguf}", max_concurrency: 2}} # serves
  embedded-canary: {{kind: embedded, gguf: "{canary}", max_concurrency: 2, threads: 1}} # to come
models:
  smollm2-135m-instruct: {{runtime: embedded, context_window: 1024}} # the only one
tasks: {{reasoning: {{models: [smollm2-135m-instruct]}}}}
defaults: {{task: reasoning, max_output_tokens: 64}}
# generous, for machines that do other things too
rollout: {{window: 600, min_calls: 10, first_token: 20, tokens_per_s: 0.05}}
health: {{timeout: 10}}
timeouts: {{interactive: 120}}
"""


class Site:
    """A policy file, a state folder, and a router that follows both as `serve` does."""

    def __init__(self, folder: Path, gguf: Path, canary: Path) -> None:
        self.path = folder / "models-policy.yaml"
        self.path.write_text(POLICY.format(gguf=gguf, canary=canary))
        self.environ = {"ROUTER_MCP_STATE": str(folder / "state")}
        self.state = StateDirectory(folder / "state")
        self.outside = Outside(environ=self.environ)
        self.canaries = Canaries(self.state, self.path, self.environ, self.outside.wall)

    @asynccontextmanager
    async def router(self) -> AsyncGenerator[Router]:
        load = partial(load_config, environ=self.environ)
        async with open_router(load(self.path), None, self.outside) as router, anyio.create_task_group() as tasks:
            tasks.start_soon(obey, router, anyio.current_time)
            tasks.start_soon(Prober(router, anyio.current_time).run)
            tasks.start_soon(Reloader(router, self.path, load).run)
            yield router
            tasks.cancel_scope.cancel()

    async def smoke(self, router: Router) -> list[str]:
        """Run the suite that ships, note its result, and return what failed."""
        suite = load_smoke(shipped("router/smoke.yaml"), {})
        slow_machine = suite.latency.model_copy(update={"first_token": 60, "whole": 100})
        suite = suite.model_copy(update={"latency": slow_machine})
        checks = await SmokeSuite(router, suite, MODEL, f"{MODEL}-canary").run()
        failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        self.canaries.tested(MODEL, tuple(failed))
        return failed


async def traffic(router: Router, count: int) -> Counter[str]:
    """Make calls, two at a time, and return which models served; an error fails the test."""
    served: Counter[str] = Counter()
    slots = anyio.Semaphore(2)

    async def one(number: int) -> None:
        async with slots:
            request = GenerateRequest(prompt=f"Tell me a fact about the number {number}.", max_output_tokens=3)
            served[(await router.generate(request)).model] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return served


async def test_a_good_canary_is_tested_gets_its_share_and_takes_over(tmp_path: Path, gguf: Path) -> None:
    site = Site(tmp_path, gguf, gguf)
    before = site.path.read_text()
    async with site.router() as router:
        site.canaries.start(MODEL, share=0.2, shadow=False)
        assert await site.smoke(router) == []
        await anyio.sleep(1)
        served = await traffic(router, 150)
        print(f"\nserved by: {dict(served)}")  # noqa: T201 - shows the share
        assert sum(served.values()) == 150
        assert 0.08 < served[f"{MODEL}-canary"] / 150 < 0.35
        await anyio.sleep(2)
        canary = router.fleet.runtimes["embedded-canary"]
        site.canaries.promote(MODEL)
        with anyio.fail_after(10):
            while router.fleet.runtimes["embedded"] is not canary:
                await anyio.sleep(0.05)
        # The child that was tested serves on, with its model in memory.
        assert isinstance(canary, EmbeddedRuntime)
        assert set(await traffic(router, 5)) == {MODEL}
    after = site.path.read_text().splitlines()
    assert after[3].endswith("# to come")
    assert sum(line.count("#") for line in after) == before.count("#")
    assert [line["action"] for line in last_lines(site.state)] == ["canary.start", "canary.smoke", "canary.promote"]


async def test_a_canary_that_keeps_dying_is_rolled_back_and_every_caller_is_served(tmp_path: Path, gguf: Path) -> None:
    site = Site(tmp_path, gguf, gguf)
    async with site.router() as router, anyio.create_task_group() as tasks:
        site.canaries.start(MODEL, share=0.5, shadow=False)
        site.canaries.tested(MODEL, ())
        await anyio.sleep(1)
        tasks.start_soon(_kill_again_and_again, router)
        served: Counter[str] = Counter()
        with anyio.fail_after(900):
            while (canary := site.canaries.get(MODEL)) and (canary.phase == "running" or served.total() < CALLS):
                served += await traffic(router, 10)
        tasks.cancel_scope.cancel()
        served += await traffic(router, 5)
    assert canary is not None
    assert canary.phase == "rolled_back"
    print(f"\nserved by: {dict(served)}; {canary.reason}")  # noqa: T201 - shows what it took
    assert served[MODEL] >= 5


async def _kill_again_and_again(router: Router) -> None:
    runtime = router.fleet.runtimes["embedded-canary"]
    assert isinstance(runtime, EmbeddedRuntime)
    while True:
        child = runtime._supervisor._child
        if child is not None:
            with suppress(ProcessLookupError, AssertionError):
                os.kill(child.pid, signal.SIGKILL)
        await anyio.sleep(0.05)


async def test_a_canary_that_is_no_model_is_refused_and_gets_no_call(tmp_path: Path, gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    site = Site(tmp_path, gguf, broken)
    async with site.router() as router:
        site.canaries.start(MODEL, share=1.0, shadow=False)
        [failed] = await site.smoke(router)
        assert "cannot load broken.gguf" in failed
        await anyio.sleep(1)
        assert set(await traffic(router, 3)) == {MODEL}
    canary = site.canaries.get(MODEL)
    assert canary is not None
    assert canary.phase == "refused"
