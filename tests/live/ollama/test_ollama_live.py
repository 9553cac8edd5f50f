"""Every case of the contract against a real Ollama, and what no recording can show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from router_mcp.domain import Endpoint, JsonSchema
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.ollama import OllamaRuntime
from tests.contract.calls import Heard
from tests.contract.ollama_cases import CASES, SEA, to

pytestmark = [pytest.mark.anyio, pytest.mark.live_ollama]

PATIENCE_S = 600
"""A cold load on a slow disk, and an answer without a GPU."""
DRAGON = "Write a very long story about a dragon. Do not stop."


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_real_ollama(
    case: Callable[[Runtime, Endpoint, str], Awaitable[None]], runtime: OllamaRuntime, endpoint: Endpoint, model: str
) -> None:
    with anyio.fail_after(PATIENCE_S):
        await case(runtime, endpoint, model)


async def test_a_call_that_is_given_up_frees_its_slot(runtime: OllamaRuntime, endpoint: Endpoint, model: str) -> None:
    """Recordings 051: 4000 tokens would take far longer than the next call waits."""
    began = anyio.Event()

    class Began(Heard):
        def text(self, delta: str) -> None:
            super().text(delta)
            began.set()

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            long = to(endpoint, model, DRAGON, temperature=0.9, max_output_tokens=4000)
            tasks.start_soon(runtime.generate, long, Began())
            await began.wait()
            tasks.cancel_scope.cancel()
    with anyio.fail_after(60):
        await runtime.generate(to(endpoint, model, SEA, max_output_tokens=5), Heard())


async def test_calls_of_one_model_never_reload_it(runtime: OllamaRuntime, endpoint: Endpoint, model: str) -> None:
    """Ollama #16: with another limit, temperature, seed or schema it stays where it is, and answers at once."""
    changes: tuple[dict[str, object], ...] = (
        {"temperature": 1.0, "seed": 7},
        {"max_output_tokens": 2},
        {"constraint": JsonSchema({"type": "integer"})},
    )
    with anyio.fail_after(PATIENCE_S):
        await runtime.generate(to(endpoint, model, SEA, max_output_tokens=5), Heard())
        for change in changes:
            await runtime.generate(to(endpoint, model, SEA, **({"max_output_tokens": 5} | change)), Heard())
            loaded = (await runtime.probe(endpoint)).loaded
            assert loaded
            assert model in loaded
