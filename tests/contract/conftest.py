"""Contract tests may open real sockets, so they run on the real clock."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
