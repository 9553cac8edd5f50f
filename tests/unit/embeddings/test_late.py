"""Backends that nobody has asked for yet cost nothing, and are not closed."""

from __future__ import annotations

import pytest

from embeddings_mcp.backends.late import LateBackends
from tests.unit.embeddings.fakes import FakeBackend

pytestmark = pytest.mark.anyio


class Closing(FakeBackend):
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_backend_is_made_once_when_it_is_first_asked_for_and_closed_if_it_was() -> None:
    made: list[Closing] = []

    def make() -> Closing:
        made.append(Closing())
        return made[-1]

    backends = LateBackends({"a": make, "b": make})
    assert list(backends) == ["a", "b"]
    assert len(backends) == 2
    assert not made
    assert backends["a"] is backends["a"]
    assert len(made) == 1
    await backends.aclose()
    assert made[0].closed == 1
    with pytest.raises(KeyError):
        backends["c"]
