"""Adapters that are made when they are first asked for, or cannot be made."""

from __future__ import annotations

import anyio
import pytest

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint, GenerateRequest, Probe
from router_mcp.errors import ConfigError, UnreachableError
from router_mcp.prober import Prober
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.late import LateRuntime
from router_mcp.wiring import Outside, open_router
from tests.houses import make_policy
from tests.scripted import ScriptedRuntime

pytestmark = pytest.mark.anyio

GPU = Endpoint(runtime="gpu", url="http://gpu")
REASON = "OLLAMA_HOST is wrong. Correct or unset it."


def cannot_be_made() -> Runtime:
    raise ConfigError(REASON)


async def test_an_adapter_is_made_once_and_closed_if_it_was_made() -> None:
    runtime = ScriptedRuntime()
    late = LateRuntime(lambda: runtime)
    await late.aclose()
    assert not runtime.closed
    assert late.get() is late.get() is runtime
    await late.aclose()
    assert runtime.closed


async def test_a_runtime_whose_adapter_cannot_be_made_is_down_and_the_others_serve() -> None:
    """The ollama package does not import with some proxies in the environment; that is no reason to stop."""
    well = ScriptedRuntime()

    def make(name: str, policy: PolicyFile) -> Runtime:
        return cannot_be_made() if name == "gpu" else well

    async with (
        open_router(make_policy(), None, Outside(environ={}, make_runtime=make)) as router,
        anyio.create_task_group() as tasks,
    ):
        result = await router.generate(GenerateRequest(prompt="hi"))
        assert (result.model, result.receipt.attempts[0].outcome) == ("small", "unreachable")
        tasks.start_soon(Prober(router, anyio.current_time).run)
        await anyio.sleep(400)
        standing = router.board.standing(router.fleet.endpoints_of("gpu")[0], "big", anyio.current_time())
        assert (standing.state, standing.error) == ("demoted", REASON)
        tasks.cancel_scope.cancel()


async def test_a_probe_finds_that_an_adapter_can_be_made_after_all() -> None:
    """The process had too many files open to import a package, say."""
    runtime, tries = ScriptedRuntime(), 0

    def make() -> Runtime:
        nonlocal tries
        tries += 1
        return cannot_be_made() if tries < 3 else runtime

    late = LateRuntime(make)
    unmade = late.get()
    with pytest.raises(UnreachableError, match="Correct or unset it"):
        await late.get().probe(GPU)
    assert await unmade.probe(GPU) == Probe()
    assert late.get() is runtime
    assert tries == 3


async def test_whatever_is_asked_of_an_adapter_that_cannot_be_made_fails_with_the_reason() -> None:
    late = LateRuntime(cannot_be_made)
    assert late.get().capabilities.grammar
    with pytest.raises(UnreachableError, match="Correct or unset it"):
        await late.get().reset_cache(GPU)
    await late.aclose()
