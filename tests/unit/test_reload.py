"""A policy file that changes under a running router."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from router_mcp.config import load_config
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import GenerateRequest
from router_mcp.reload import Reloader
from router_mcp.runtimes.base import Runtime
from router_mcp.state.directory import fingerprint
from router_mcp.telemetry.base import Reloaded
from router_mcp.wiring import Outside, open_router
from tests.houses import House, open_house
from tests.scripted import ScriptedRuntime, says

pytestmark = pytest.mark.anyio

POLICY = """
version: 1
runtimes: {gpu: {kind: vllm, endpoints: ["http://gpu"]}, laptop: {kind: ollama, endpoints: ["http://127.0.0.1:1"]}}
models: {big: {runtime: gpu, context_window: 4096}, small: {runtime: laptop, context_window: 4096}}
tasks: {reasoning: {models: [FIRST]}}
defaults: {task: reasoning}
"""


@asynccontextmanager
async def following(house: House, path: Path) -> AsyncGenerator[Reloader]:
    reloader = Reloader(house.router, path, load_config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reloader.run)
        yield reloader
        tasks.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace("FIRST", "big"))
    return file


async def test_a_changed_file_is_in_force_within_two_seconds(path: Path) -> None:
    async with open_house() as house, following(house, path):
        path.write_text(POLICY.replace("FIRST", "small"))
        await anyio.sleep(2)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "small"
        assert [event.outcome for event in house.events if isinstance(event, Reloaded)] == ["ok"]


async def test_a_file_that_changed_while_the_server_started_is_followed_too(path: Path) -> None:
    seen = fingerprint(path)
    async with open_house() as house, anyio.create_task_group() as tasks:
        path.write_text(POLICY.replace("FIRST", "small"))
        tasks.start_soon(Reloader(house.router, path, load_config, seen=seen).run)
        await anyio.sleep(2)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "small"
        tasks.cancel_scope.cancel()


async def test_a_bad_file_changes_nothing_and_is_said(path: Path) -> None:
    async with open_house() as house, following(house, path) as reloader:
        path.write_text(POLICY.replace("FIRST", "nowhere"))
        await anyio.sleep(2)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "big"
        assert reloader.error is not None
        assert "nowhere" in reloader.error
        assert [event.outcome for event in house.events if isinstance(event, Reloaded)] == ["refused"]
        path.write_text(POLICY.replace("FIRST", "small"))
        await anyio.sleep(2)
        assert reloader.error is None


async def test_a_file_that_vanishes_and_comes_back_costs_nothing(path: Path) -> None:
    async with open_house() as house, following(house, path):
        path.unlink()
        await anyio.sleep(2)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "big"
        path.write_text(POLICY.replace("FIRST", "small"))
        await anyio.sleep(2)
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).model == "small"


async def test_a_reload_under_load_loses_no_call(path: Path) -> None:
    slow = ScriptedRuntime(says("served anyhow", after_s=3))
    async with open_house(gpu=slow, laptop=slow) as house, following(house, path):
        texts: list[str] = []

        async def call() -> None:
            texts.append((await house.router.generate(GenerateRequest(prompt="hi"))).text)

        async with anyio.create_task_group() as tasks:
            for turn in range(60):
                tasks.start_soon(call)
                await anyio.sleep(0.2)
                if turn % 10 == 5:
                    path.write_text(POLICY.replace("FIRST", "small" if turn % 20 == 5 else "big"))
        assert texts == ["served anyhow"] * 60


async def test_a_reload_keeps_adapters_that_it_does_not_change_and_closes_the_rest_at_the_end(path: Path) -> None:
    async with open_house() as house:
        before = dict(house.router.fleet.runtimes)
        house.router.adopt(house.policy(concurrency=2))
        assert not house.gpu.closed
        assert dict(house.router.fleet.runtimes) == before
    assert house.gpu.closed
    assert house.laptop.closed


async def test_an_adapter_that_a_reload_replaced_is_closed_when_the_last_call_that_may_use_it_has_ended(
    path: Path,
) -> None:
    """A child process with a model in memory is not kept for as long as the server runs."""
    made: list[ScriptedRuntime] = []

    def make(name: str, policy: PolicyFile) -> Runtime:
        made.append(ScriptedRuntime(says(" ".join(["word"] * 20), each_s=1.0)))
        return made[-1]

    outside = Outside(environ={}, make_runtime=make)
    async with open_router(load_config(path), None, outside) as router, anyio.create_task_group() as tasks:
        tasks.start_soon(Reloader(router, path, load_config).run)
        tasks.start_soon(router.generate, GenerateRequest(prompt="hi"))
        await anyio.sleep(1)
        path.write_text(path.read_text().replace("http://gpu", "http://other"))
        await anyio.sleep(2)
        tasks.start_soon(router.generate, GenerateRequest(prompt="hi"))
        await anyio.sleep(100)
        assert [runtime.closed for runtime in made] == [False, False]
        await anyio.sleep(30)
        assert [runtime.closed for runtime in made] == [True, False]
        assert [runtime.cancelled for runtime in made] == [0, 0]
        tasks.cancel_scope.cancel()


async def test_an_adapter_is_not_made_before_it_is_asked_for() -> None:
    async with open_house() as house:
        await house.router.generate(GenerateRequest(prompt="hi"))
        assert len(house.router.fleet.runtimes) == 2
    assert house.gpu.closed
    assert not house.laptop.closed
