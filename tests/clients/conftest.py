"""Clients that are not ours, as processes of their own."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.vllm_cases", "tests.contract.replay")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
