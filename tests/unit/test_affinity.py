"""Which replica gets a prompt: the one that has its beginning cached, unless it is busy."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.affinity import PREFIX_CHARS, SLACK, order, prefix_key
from router_mcp.domain import Endpoint, Message

URLS = [f"http://gpu-{n}:8000" for n in range(5)]
REPLICAS = tuple(Endpoint(runtime="gpu", url=url) for url in URLS)
KEYS = [prefix_key(None, None, f"prompt {n}") for n in range(1000)]
TEXTS = st.none() | st.text()


def idle(_: Endpoint) -> int:
    return 0


def first(key: bytes, replicas: tuple[Endpoint, ...] = REPLICAS) -> Endpoint:
    return order(replicas, key, idle)[0]


@given(st.binary(min_size=16, max_size=16), st.permutations(REPLICAS))
def test_every_router_chooses_alike_in_whatever_order_it_knows_the_replicas(
    key: bytes, replicas: list[Endpoint]
) -> None:
    chosen = order(replicas, key, idle)
    assert chosen == order(REPLICAS, key, idle)
    assert set(chosen) == set(REPLICAS)


def test_prompts_are_spread_over_the_replicas() -> None:
    shares = Counter(first(key) for key in KEYS)
    assert len(shares) == len(REPLICAS)
    assert max(shares.values()) < 1.5 * len(KEYS) / len(REPLICAS)


@pytest.mark.parametrize("gone", REPLICAS, ids=str)
def test_a_replica_that_leaves_moves_only_its_own_share(gone: Endpoint) -> None:
    left = tuple(each for each in REPLICAS if each != gone)
    for key in KEYS:
        before = order(REPLICAS, key, idle)
        assert order(left, key, idle) == tuple(each for each in before if each != gone)


def test_what_a_replica_leaves_behind_is_spread_over_the_others() -> None:
    heirs = Counter(first(key, REPLICAS[1:]) for key in KEYS if first(key) == REPLICAS[0])
    assert set(heirs) == set(REPLICAS[1:])


def test_a_prompt_stays_with_its_replica_until_that_is_clearly_busier_than_the_idlest() -> None:
    favourite = first(KEYS[0])
    for running in range(SLACK + 3):
        load = dict.fromkeys(REPLICAS, 0) | {favourite: running}
        chosen = order(REPLICAS, KEYS[0], load.__getitem__)
        assert (chosen[0] == favourite) == (running <= SLACK)
        assert (chosen[-1] == favourite) == (running > SLACK)


def test_it_is_the_difference_in_load_that_counts() -> None:
    assert order(REPLICAS, KEYS[0], lambda _: 60) == order(REPLICAS, KEYS[0], idle)


@given(st.binary(min_size=16, max_size=16), st.lists(st.integers(0, 50), min_size=5, max_size=5))
def test_nobody_clearly_busier_than_the_idlest_stands_before_one_that_is_not(key: bytes, loads: list[int]) -> None:
    running = dict(zip(REPLICAS, loads, strict=True))
    overloaded = [running[each] - min(loads) > SLACK for each in order(REPLICAS, key, running.__getitem__)]
    assert overloaded == sorted(overloaded)


@pytest.mark.parametrize("replicas", [(), REPLICAS[:1]])
def test_where_there_is_no_choice_none_is_made(replicas: tuple[Endpoint, ...]) -> None:
    def load(_: Endpoint) -> int:
        raise AssertionError("nobody's load matters")

    assert order(replicas, KEYS[0], load) == replicas


def test_prompts_that_begin_alike_have_one_key() -> None:
    head = "x" * PREFIX_CHARS
    assert prefix_key("t", None, head + "one") == prefix_key("t", None, head + "another")
    assert prefix_key("t", head, "one") == prefix_key("t", head, "another")
    assert prefix_key("t", None, head[1:] + "one") != prefix_key("t", None, head[1:] + "another")


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
