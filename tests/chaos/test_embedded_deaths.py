"""The real embedded runtime is killed or frozen under traffic, and a second runtime is up."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace

import anyio
import pytest

from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.runtimes.weights import ensure_weights
from tests.chaos.fleet import Fleet
from tests.chaos.houses import House, make_policy, open_house
from tests.chaos.load import ASK, drive

pytestmark = pytest.mark.anyio

SHORT = replace(ASK, max_output_tokens=12)
TIMEOUTS = {"interactive": 8.0, "inter_token": 2.0}
"""It shares its cores with everything else on the machine, so its answers may take a while."""


async def child_of(house: House) -> int:
    """Return the process that generates, once there is one."""
    runtime = house.router.fleet.runtimes["primary"]
    assert isinstance(runtime, EmbeddedRuntime)
    await runtime.start()
    child = runtime._supervisor._child
    assert child is not None
    return child.pid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_nobody_notices_the_death_of_the_embedded_runtime(fleet: Fleet, how: signal.Signals) -> None:
    ensure_weights()
    policy = make_policy(
        "", fleet.url("ollama"), kinds=("embedded", "ollama"), timeouts=TIMEOUTS, limits={"max_concurrency": 4}
    )
    async with open_house(fleet, policy) as house:
        pid = await child_of(house)

        async def strike() -> None:
            await anyio.sleep(1.0)
            os.kill(pid, how)
            await anyio.sleep(1.0)

        try:
            outcomes = await drive(house.router, 12, in_flight=4, meanwhile=strike, request=SHORT)
        finally:
            with suppress(ProcessLookupError):  # its supervisor kills one that is frozen
                os.kill(pid, signal.SIGCONT)
        assert outcomes.errors == []
        assert len(outcomes.served) >= 12
        assert "fallback" in {result.runtime for result in outcomes.served}
        assert not any(house.router.book.in_flight().values())
        if how is signal.SIGKILL:
            assert await child_of(house) != pid
            with anyio.fail_after(20):
                while (await house.router.generate(SHORT)).runtime != "primary":
                    await anyio.sleep(0.1)
