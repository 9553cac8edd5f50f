"""Unit and edge tests run on a clock that jumps; folders with real sockets use the real one (their conftest)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clock import JumpingLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}
