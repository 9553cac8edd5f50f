"""Unit and edge tests run on a clock that jumps; folders with real sockets use the real one (their conftest)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.clock import JumpingLoop

# Shared cases assert on their own, and fail with as much to read as tests do.
pytest.register_assert_rewrite("tests.contract.ollama_cases", "tests.contract.replay", "tests.contract.vllm_cases")
# A property is not about speed, and the machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture(scope="session", autouse=True)
def _no_orders_of_this_user(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep operators' orders of the machine away from tests, in this process and in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("ROUTER_MCP_STATE", raising=False)
        yield
