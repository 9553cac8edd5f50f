"""Which replica gets a prompt: the one that has its beginning cached, unless it is busy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.affinity import PREFIX_CHARS, SLACK, SPREAD, Ring, order, prefix_key
from router_mcp.domain import Endpoint, Message
from router_mcp.replicas import Replicas

URLS = [f"http://gpu-{n}:8000" for n in range(5)]
REPLICAS = Replicas(Endpoint(runtime="gpu", url=url) for url in URLS)
KEYS = [prefix_key(None, None, f"prompt {n}") for n in range(1000)]
TEXTS = st.none() | st.text()
RING = Ring(REPLICAS)


def preferred(key: bytes, replicas: Sequence[Endpoint] = REPLICAS) -> list[Endpoint]:
    """Return the order of replicas that have nothing to do."""
    return list(Ring(replicas).walk(key))


def under(load: dict[Endpoint, int], key: bytes = KEYS[0], among: Sequence[Endpoint] = REPLICAS) -> list[Endpoint]:
    return list(order(RING, among, key, load.__getitem__, sum(load.values())))


@given(st.binary(min_size=16, max_size=16), st.permutations(REPLICAS))
def test_every_router_chooses_alike_in_whatever_order_it_knows_the_replicas(
    key: bytes, replicas: list[Endpoint]
) -> None:
    assert preferred(key, replicas) == preferred(key)
    assert sorted(preferred(key), key=str) == sorted(REPLICAS, key=str)


def test_without_replicas_there_is_nowhere_to_go() -> None:
    assert preferred(KEYS[0], ()) == []


def test_prompts_are_spread_over_the_replicas() -> None:
    shares = Counter(next(RING.walk(key)) for key in KEYS)
    assert len(shares) == len(REPLICAS)
    assert max(shares.values()) < 1.5 * len(KEYS) / len(REPLICAS)


@pytest.mark.parametrize("gone", REPLICAS, ids=str)
def test_a_replica_that_leaves_moves_only_its_own_share(gone: Endpoint) -> None:
    left = Ring(each for each in REPLICAS if each != gone)
    for key in KEYS:
        assert list(left.walk(key)) == [each for each in RING.walk(key) if each != gone]


@pytest.mark.parametrize("gone", REPLICAS, ids=str)
def test_a_replica_that_is_not_well_moves_only_its_own_share_too(gone: Endpoint) -> None:
    among = Replicas(each for each in REPLICAS if each != gone)
    for key in KEYS[:50]:
        chosen = under(dict.fromkeys(REPLICAS, 0), key, among)
        assert chosen == [each for each in RING.walk(key) if each != gone]


def test_what_a_replica_leaves_behind_is_spread_over_the_others() -> None:
    first = REPLICAS[0]
    heirs = Counter(list(RING.walk(key))[1] for key in KEYS if next(RING.walk(key)) == first)
    assert set(heirs) == set(REPLICAS[1:])


def test_one_process_finds_its_way_on_a_circle_of_a_thousand() -> None:
    many = Replicas(Endpoint(runtime="gpu", url=f"http://gpu-{n}:8000") for n in range(1000))
    ring = Ring(many)
    shares = Counter(next(ring.walk(prefix_key(None, None, f"prompt {n}"))) for n in range(20_000))
    assert len(shares) > 990
    assert max(shares.values()) < 2.5 * 20
    assert len(list(ring.walk(KEYS[0]))) == 1000


def test_a_prompt_stays_with_its_replica_until_that_is_clearly_busier_than_the_average() -> None:
    favourite = next(RING.walk(KEYS[0]))
    for running in range(20):
        chosen = under(dict.fromkeys(REPLICAS, 0) | {favourite: running})
        is_clear = running > running / len(REPLICAS) + SLACK
        assert (chosen[0] == favourite) == (not is_clear)
        assert (chosen[-1] == favourite) == is_clear
    assert under(dict.fromkeys(REPLICAS, 0) | {favourite: SLACK})[0] == favourite
    assert under(dict.fromkeys(REPLICAS, 0) | {favourite: 2 * SLACK})[0] != favourite


def test_it_is_the_difference_in_load_that_counts() -> None:
    assert under(dict.fromkeys(REPLICAS, 60)) == under(dict.fromkeys(REPLICAS, 0))


@given(st.binary(min_size=16, max_size=16), st.lists(st.integers(0, 50), min_size=5, max_size=5))
def test_nobody_clearly_busier_than_the_average_stands_before_one_that_is_not(key: bytes, loads: list[int]) -> None:
    running = dict(zip(REPLICAS, loads, strict=True))
    chosen = under(running, key)
    average = sum(loads) / len(loads)
    overloaded = [running[each] > average + max(SLACK, SPREAD * average) for each in chosen]
    assert overloaded == sorted(overloaded)
    assert not overloaded[0]
    assert sorted(chosen, key=str) == sorted(REPLICAS, key=str)


def test_prompts_that_begin_alike_have_one_key() -> None:
    head = "x" * PREFIX_CHARS
    assert prefix_key("t", None, head + "one") == prefix_key("t", None, head + "another")
    assert prefix_key("t", head + "one", head) == prefix_key("t", head + "another", head)
    assert prefix_key("t", None, head[1:] + "one") != prefix_key("t", None, head[1:] + "another")


def test_conversations_that_share_only_their_instructions_are_spread() -> None:
    """They would all meet on one replica, while every replica soon has read the instructions."""
    system = "x" * 2 * PREFIX_CHARS
    assert len({prefix_key("t", system, f"I am conversation {n}.") for n in range(8)}) == 8


def test_a_conversation_keeps_its_key_from_turn_to_turn() -> None:
    said = (Message(role="user", content="Hello"), Message(role="assistant", content="Hi!"))
    assert prefix_key(None, "be brief", "And then?", said) == prefix_key(None, "be brief", "Hello")


@given(TEXTS, TEXTS, st.text(), TEXTS)
def test_tenants_do_not_share_a_key(tenant: str | None, system: str | None, prompt: str, other: str | None) -> None:
    same = (tenant or "") == (other or "")
    assert (prefix_key(tenant, system, prompt) == prefix_key(other, system, prompt)) == same


def test_what_is_system_text_and_what_is_prompt_is_told_apart() -> None:
    assert prefix_key(None, "ab", "c") != prefix_key(None, "a", "bc")


def test_text_that_is_half_a_character_has_a_key_too() -> None:
    assert prefix_key("\ud800", "\udc00", "\ud800")
