"""Chaos tests have real sockets and processes, so they run on the real clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.chaos.fleet import Fleet, running_fleet


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def fakes() -> Iterator[Fleet]:
    """Return two fakes of each kind, in a process of their own."""
    with running_fleet(vllm="vllm", vllm2="vllm", ollama="ollama", ollama2="ollama") as fleet:
        yield fleet


@pytest.fixture
async def fleet(fakes: Fleet) -> AsyncIterator[Fleet]:
    """Return the fakes, all well and with nothing counted."""
    await fakes.restore()
    yield fakes
    await fakes.restore()
