"""The cases that `make live-vllm` ran against a real server, run again on what went over the wire then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from router_mcp.domain import Endpoint
from router_mcp.runtimes.base import Runtime
from tests.contract.replay import exchanges
from tests.contract.vllm_cases import CASES
from tests.contract.vllm_replay import ENDPOINT, VLLM, replaying

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("piece", [1, 7, 65_536], ids=["byte by byte", "seven by seven", "at once"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_adapter_sends_what_was_recorded_and_reads_the_answer(
    case: Callable[[Runtime, Endpoint], Awaitable[None]], piece: int
) -> None:
    runtime, replay = replaying(*exchanges(VLLM, f"cases/{case.__name__}"), piece=piece)
    await case(runtime, ENDPOINT)
    assert replay.left == []
