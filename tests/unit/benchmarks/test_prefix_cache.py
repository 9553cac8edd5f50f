"""The model of a prefix cache does what is known of vLLM's: whole blocks, from the beginning, the oldest first out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.prefix_cache import BLOCK, PrefixCache
from router_mcp.runtimes.vllm import read_load, read_prefix_cache


def prompt(name: str, blocks: float) -> list[str]:
    return [f"{name}{place}" for place in range(int(blocks * BLOCK))]


def test_a_prompt_is_found_again_but_for_its_last_block() -> None:
    cache = PrefixCache(blocks=100)
    assert cache.read(prompt("a", 4)) == 0
    assert cache.read(prompt("a", 4)) == 3 * BLOCK  # a token is left to go on from
    assert cache.read(prompt("a", 4.5)) == 4 * BLOCK


def test_what_follows_a_difference_is_not_found() -> None:
    cache = PrefixCache(blocks=100)
    cache.read(prompt("a", 4))
    assert cache.read(["x", *prompt("a", 4)[1:]]) == 0
    changed = prompt("a", 4)
    changed[2 * BLOCK] = "x"
    assert cache.read(changed) == 2 * BLOCK


def test_the_same_block_after_another_beginning_is_another_block() -> None:
    cache = PrefixCache(blocks=100)
    cache.read(prompt("a", 2) + prompt("b", 2))
    assert cache.read(prompt("b", 2.5)) == 0


def test_the_oldest_prompt_is_forgotten_and_its_end_before_its_beginning() -> None:
    cache = PrefixCache(blocks=6)
    cache.read(prompt("a", 4))
    cache.read(prompt("b", 4))
    assert cache.read(prompt("a", 4.5)) == 2 * BLOCK


def test_a_prompt_longer_than_the_cache_leaves_its_beginning() -> None:
    cache = PrefixCache(blocks=3)
    cache.read(prompt("a", 10))
    assert cache.read(prompt("a", 10)) == 3 * BLOCK


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=3 * BLOCK), max_size=8), st.integers(0, 4))
def test_no_more_is_found_than_was_asked_or_fits_and_the_counters_are_the_sums(
    prompts: list[list[str]], blocks: int
) -> None:
    cache = PrefixCache(blocks)
    found = [cache.read(each) for each in prompts]
    assert all(0 <= hit <= min(max(0, len(each) - 1), blocks * BLOCK) for hit, each in zip(found, prompts, strict=True))
    assert (cache.queried, cache.hit) == (sum(map(len, prompts)), sum(found))


def test_its_counters_read_like_those_of_vllm() -> None:
    cache = PrefixCache(blocks=100)
    cache.read(prompt("a", 2))
    cache.read(prompt("a", 2))
    metrics = cache.metrics().encode()
    assert read_prefix_cache(metrics) == (4 * BLOCK, BLOCK)
    assert read_load(metrics)[0] == 0
