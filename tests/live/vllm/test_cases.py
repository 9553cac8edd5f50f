"""Every case of the contract, against a real server."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import pytest

from router_mcp.domain import Endpoint
from router_mcp.runtimes.base import Runtime
from tests.contract.replay import RECORDINGS
from tests.contract.vllm_cases import CASES
from tests.live.vllm.build import RELEASE
from tests.live.vllm.recorder import Recorder
from tests.live.vllm.server import FLAGS, SWITCHES

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_real_vllm(
    case: Callable[[Runtime, Endpoint], Awaitable[None]], runtime: Runtime, endpoint: Endpoint, wire: Recorder
) -> None:
    await case(runtime, endpoint)
    if os.environ.get("RECORD"):
        folder = RECORDINGS / f"vllm-{RELEASE}" / "cases"
        folder.mkdir(parents=True, exist_ok=True)
        flags = [*(" ".join(flag) for flag in FLAGS.items()), *SWITCHES]
        wire.write(folder / f"{case.__name__}.json", name=case.__name__, server=" ".join(flags))
