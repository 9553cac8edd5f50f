"""The real llama.cpp with the real SmolLM2. One child serves all tests of a module that do not harm it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.runtimes.weights import ensure_weights
from tests.live.embedded.llama import runtime_with


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def gguf() -> Path:
    return ensure_weights()


@pytest.fixture(scope="module")
async def runtime(anyio_backend: str, gguf: Path) -> AsyncGenerator[EmbeddedRuntime]:
    runtime = runtime_with(gguf)
    yield runtime
    await runtime.aclose()
