"""Conversations over replicas that remember, in virtual time: what is found in caches is counted, and affinity pays."""

from __future__ import annotations

import random
from collections.abc import Sequence

import anyio
import pytest

from benchmarks.conversations import FLEET, WAYS, Choice, Found, Traffic, make_policy, talk
from benchmarks.prefix_cache import BLOCK, PrefixCache
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Call, Capabilities, Completion, Endpoint, Listener, Probe, Usage
from router_mcp.wiring import Outside, open_router

URLS = ("http://127.0.0.1:1", "http://127.0.0.1:2")
TRAFFIC = Traffic(conversations=8, turns=5, opening=200, question=30)
TOKEN_S = 0.001


class Remembering:
    """The replicas of a runtime, with caches that all runtimes of a policy share."""

    capabilities = Capabilities()

    def __init__(self, caches: dict[str, PrefixCache]) -> None:
        self._caches = caches

    async def generate(self, call: Call, listener: Listener) -> Completion:
        tokens = [word for message in call.messages for word in message.content.split()]
        await anyio.sleep(TOKEN_S * (len(tokens) - self._caches[call.endpoint.url].read(tokens)))
        listener.text("Well")
        return Completion(text="Well", finish_reason="stop", usage=Usage(input_tokens=len(tokens), output_tokens=1))

    async def probe(self, endpoint: Endpoint) -> Probe:
        cache = self._caches[endpoint.url]
        return Probe(prefix_queried=cache.queried, prefix_hit=cache.hit)

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        return False

    async def aclose(self) -> None:
        pass


async def run(way: str, urls: Sequence[str] = URLS, traffic: Traffic = TRAFFIC) -> tuple[Found, dict[str, PrefixCache]]:
    caches = {url: PrefixCache(blocks=1400 // BLOCK) for url in urls}
    policy: PolicyFile = make_policy(urls, served_name="m", context_window=32768)
    outside = Outside(environ={}, make_runtime=lambda name, _: Remembering(caches), obeys_orders=False)
    async with open_router(policy, None, outside) as router:
        return await talk(router, way, traffic, "mark"), caches


@pytest.mark.anyio
async def test_affinity_finds_more_in_the_caches_than_any_other_way_and_waits_less() -> None:
    found = {way: (await run(way))[0] for way in WAYS}
    for other in WAYS[1:]:
        assert found["affinity"].hit_rate > found[other].hit_rate
        assert found["affinity"].mean_first_token_s < found[other].mean_first_token_s


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_every_token_and_every_turn_is_counted(way: str) -> None:
    found, caches = await run(way)
    assert found.queried == sum(cache.queried for cache in caches.values())
    assert found.hit == sum(cache.hit for cache in caches.values())
    assert len(found.first_token_s) == TRAFFIC.conversations * TRAFFIC.turns
    assert min(found.first_token_s) > 0
    assert all(cache.queried for cache in caches.values())


@pytest.mark.anyio
async def test_a_single_conversation_on_a_single_replica_finds_all_but_what_is_new() -> None:
    found, _ = await run("round robin", URLS[:1], Traffic(conversations=1, turns=2, opening=160, question=32))
    assert found.queried == 160 + (160 + 1 + 32)
    assert found.hit == 160


@pytest.mark.anyio
async def test_what_conversations_share_is_found_by_all() -> None:
    found, _ = await run("round robin", URLS[:1], Traffic(conversations=4, turns=1, opening=16, shared=320))
    assert found.hit == 3 * 320


def test_round_robin_takes_turns() -> None:
    choice = Choice("round robin", 3, random.Random(1))
    chosen = []
    for _ in range(4):
        with choice.model() as model:
            chosen.append(model)
    assert chosen == ["replica-0", "replica-1", "replica-2", "replica-0"]


def test_least_busy_takes_one_of_those_that_run_least() -> None:
    choice = Choice("least busy", 2, random.Random(1))
    with choice.model() as first, choice.model() as second:
        assert {first, second} == {"replica-0", "replica-1"}


def test_affinity_leaves_the_choice_to_the_router() -> None:
    with Choice("affinity", 2, random.Random(1)).model() as model:
        assert model == FLEET
