"""Prefix affinity on two real replicas: vLLM's own counters say what each way of choosing finds in their caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.conversations import WAYS, Found, Traffic, make_policy, talk
from router_mcp.wiring import open_router
from tests.live.vllm import build, server

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

NEEDED_GB = 5.0
"""A replica has the model, 1 GB of cache and Python three times."""
TRAFFIC = Traffic(turns=4, opening=150, question=30, answer_tokens=8)
"""Words of some four tokens each, so that the longest conversation stays within the window."""


@pytest.fixture(scope="module")
def replicas(vllm: server.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the URLs of the suite's server and of a second one."""
    if not build.is_built():
        pytest.fail("A second replica needs the local build. Run `make live-vllm`.")
    free = available_gb()
    if free < NEEDED_GB:
        pytest.fail(
            f"A second replica needs {NEEDED_GB:g} GB of memory, and {free:.1f} are free. Free some, or deselect it."
        )
    with server.running(tmp_path_factory.mktemp("vllm") / "second.log") as second:
        yield vllm.url, second.url


def available_gb() -> float:
    [line] = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")]
    return int(line.split()[1]) / 1e6


async def test_conversations_that_stay_with_their_replica_find_more_in_its_cache(replicas: tuple[str, str]) -> None:
    policy = make_policy(replicas, served_name=server.SERVED[0], context_window=server.CONTEXT_WINDOW)
    found: dict[str, Found] = {}
    async with open_router(policy) as router:
        await talk(
            router, "round robin", Traffic(conversations=2, turns=1, opening=20), "first"
        )  # what first calls cost
        for way in WAYS:
            found[way] = await talk(router, way, TRAFFIC, way.replace(" ", "-"))
    for way, each in found.items():
        waited = 1000 * each.mean_first_token_s
        print(f"\n{way}: {each.hit:,} of {each.queried:,} tokens in a cache ({each.hit_rate:.0%})", end="")  # noqa: T201 - the issue asks for numbers
        print(f", first token after {waited:.0f} ms on average", end="")  # noqa: T201 - the issue asks for numbers
    assert found["affinity"].hit_rate > found["round robin"].hit_rate
