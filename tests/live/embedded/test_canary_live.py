"""A canary on two real llama.cpp runtimes of one policy: tested, given its share, promoted; and those that are bad.

CANARY_CALLS=1000 pytest -s tests/live/embedded/test_canary_live.py    # a thousand calls for each kind of bad
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp.config import load_config, shipped
from router_mcp.config.policy_file import PolicyFile
from router_mcp.config.smoke_file import load_smoke
from router_mcp.domain import Call, Capabilities, Completion, Endpoint, GenerateRequest, JsonSchema, Listener, Probe
from router_mcp.edge.operated import obey
from router_mcp.operations.canary import Canaries
from router_mcp.operations.smoke import SmokeSuite
from router_mcp.prober import Prober
from router_mcp.reload import Reloader
from router_mcp.router import Router
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.runtimes.llama_process import LlamaProcess
from router_mcp.state.audit import last_lines
from router_mcp.state.directory import StateDirectory
from router_mcp.state.files import Canary
from router_mcp.wiring import Outside, make_runtime, open_router

pytestmark = pytest.mark.anyio

MODEL = "smollm2-135m-instruct"
CALLS = int(os.environ.get("CANARY_CALLS", "0"))
"""Calls that callers make at least while a canary is bad; else they stop when it is rolled back."""
SHARE = 0.2 if CALLS else 0.5
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
rollout: {{window: 600, min_calls: 10, {limits}}}
health: {{timeout: 10}}
timeouts: {{interactive: 120}}
"""
GENEROUS = "first_token: 20, tokens_per_s: 0.05"
"""For machines that do other things too."""
STRICT = "first_token: 2, tokens_per_s: 0.5"
YES_OR_NO = JsonSchema({"enum": ["yes", "no"]})


@dataclass(frozen=True, slots=True)
class Careless:
    """A runtime that does not care which shape it was asked for, and says that all is well (vLLM B1 #6)."""

    inner: Runtime

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    async def generate(self, call: Call, listener: Listener) -> Completion:
        return await self.inner.generate(replace(call, constraint=None), listener)

    async def probe(self, endpoint: Endpoint) -> Probe:
        return await self.inner.probe(endpoint)

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        return await self.inner.reset_cache(endpoint)

    async def aclose(self) -> None:
        await self.inner.aclose()


def careless(name: str, policy: PolicyFile) -> Runtime:
    runtime = make_runtime(name, policy, {})
    return Careless(runtime) if name == "embedded-canary" else runtime


class Site:
    """A policy file, a state folder, and a router that follows both as `serve` does."""

    def __init__(
        self,
        folder: Path,
        gguf: Path,
        *,
        canary: Path | None = None,
        limits: str = GENEROUS,
        make: Callable[[str, PolicyFile], Runtime] | None = None,
    ) -> None:
        self.path = folder / "models-policy.yaml"
        self.path.write_text(POLICY.format(gguf=gguf, canary=canary or gguf, limits=limits))
        self.environ = {"ROUTER_MCP_STATE": str(folder / "state")}
        self.state = StateDirectory(folder / "state")
        self.outside = Outside(environ=self.environ, make_runtime=make)
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

    async def smoke(self, router: Router, **changed: Any) -> list[str]:
        """Run the suite that ships, or one that is changed, note its result, and return what failed."""
        suite = load_smoke(shipped("router/smoke.yaml"), {})
        slow_machine = suite.latency.model_copy(update={"first_token": 60, "whole": 100})
        suite = suite.model_copy(update={"latency": slow_machine, **changed})
        checks = await SmokeSuite(router, suite, MODEL, f"{MODEL}-canary").run()
        failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        self.canaries.tested(MODEL, tuple(failed))
        return failed


async def traffic(router: Router, numbers: Iterable[int], **more: Any) -> Counter[str]:
    """Make calls, two at a time, and return which models served; an error fails the test."""
    served: Counter[str] = Counter()
    slots = anyio.Semaphore(2)

    async def one(number: int) -> None:
        async with slots:
            asked = GenerateRequest(prompt=f"Tell me of the number {number}.", **{"max_output_tokens": 3, **more})
            served[(await router.generate(asked)).model] += 1

    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(one, number)
    return served


async def rolled_back(
    site: Site, harm: Callable[[Router], Coroutine[Any, Any, None]] | None = None, **more: Any
) -> Canary:
    """Have a bad canary in front of callers until it is rolled back and they made their calls; return what is known."""
    served: Counter[str] = Counter()
    async with site.router() as router, anyio.create_task_group() as tasks:
        site.canaries.start(MODEL, share=SHARE, shadow=False)
        site.canaries.tested(MODEL, ())
        await anyio.sleep(1)
        if harm:
            tasks.start_soon(harm, router)
        with anyio.fail_after(1800):
            while (canary := known(site)).phase == "running" or served.total() < CALLS:
                served += await traffic(router, range(served.total(), served.total() + 10), **more)
        tasks.cancel_scope.cancel()
        assert set(await traffic(router, range(5), **more)) == {MODEL}
    print(f"\n{served.total()} calls, no error; served by: {dict(served)}; {canary.reason}")  # noqa: T201 - shows what it took
    assert canary.phase == "rolled_back"
    return canary


def known(site: Site) -> Canary:
    canary = site.canaries.get(MODEL)
    assert canary is not None
    return canary


async def test_a_good_canary_is_tested_gets_its_share_and_takes_over(tmp_path: Path, gguf: Path) -> None:
    site = Site(tmp_path, gguf)
    before = site.path.read_text()
    async with site.router() as router:
        site.canaries.start(MODEL, share=0.2, shadow=False)
        assert await site.smoke(router) == []
        await anyio.sleep(1)
        served = await traffic(router, range(150))
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
        assert set(await traffic(router, range(5))) == {MODEL}
    after = site.path.read_text().splitlines()
    assert after[3].endswith("# to come")
    assert sum(line.count("#") for line in after) == before.count("#")
    assert [line["action"] for line in last_lines(site.state)] == ["canary.start", "canary.smoke", "canary.promote"]


async def test_a_canary_that_keeps_dying_is_rolled_back_and_every_caller_is_served(tmp_path: Path, gguf: Path) -> None:
    canary = await rolled_back(Site(tmp_path, gguf), _kill_while_it_serves)
    assert "failed" in canary.reason or "could be used" in canary.reason


async def _kill_while_it_serves(router: Router) -> None:
    while True:
        child = _child(router)
        if child is not None and child.calls:
            _send(child, signal.SIGKILL)
        await anyio.sleep(0.02)


def _child(router: Router) -> LlamaProcess | None:
    """Return the canary's child, if there is one now."""
    runtime = router.fleet.runtimes["embedded-canary"]
    assert isinstance(runtime, EmbeddedRuntime)
    return runtime._supervisor._child


def _send(child: LlamaProcess | None, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        if child is not None:
            os.kill(child.pid, number)


async def test_a_canary_that_is_slow_is_rolled_back_and_every_caller_is_served(tmp_path: Path, gguf: Path) -> None:
    canary = await rolled_back(Site(tmp_path, gguf, limits=STRICT), _let_run_one_moment_in_five)
    assert "first token comes after" in canary.reason or "tokens a second" in canary.reason


async def _let_run_one_moment_in_five(router: Router) -> None:
    try:
        while True:
            _send(_child(router), signal.SIGSTOP)
            await anyio.sleep(0.12)
            _send(_child(router), signal.SIGCONT)
            await anyio.sleep(0.03)
    finally:
        _send(_child(router), signal.SIGCONT)


async def test_a_canary_of_wrong_json_is_refused_and_was_it_let_through_it_is_rolled_back(
    tmp_path: Path, gguf: Path
) -> None:
    site = Site(tmp_path, gguf, make=careless)
    async with site.router() as router:
        site.canaries.start(MODEL, share=1.0, shadow=False)
        failed = await site.smoke(router, context_fill=0, refuses_too_long=False, cancels=False)
        assert {check.partition(":")[0] for check in failed} == {"structured"}
        await anyio.sleep(1)
        assert set(await traffic(router, range(3))) == {MODEL}
    assert known(site).phase == "refused"
    canary = await rolled_back(site, constraint=YES_OR_NO, max_output_tokens=8)
    assert "structured answers were invalid" in canary.reason


async def test_a_canary_that_is_no_model_is_refused_and_gets_no_call(tmp_path: Path, gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    site = Site(tmp_path, gguf, canary=broken)
    async with site.router() as router:
        site.canaries.start(MODEL, share=1.0, shadow=False)
        [failed] = await site.smoke(router)
        assert "cannot load broken.gguf" in failed
        await anyio.sleep(1)
        assert set(await traffic(router, range(3))) == {MODEL}
    assert known(site).phase == "refused"
