"""These tests start real processes and open real sockets, so they run on the real clock."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"
