"""Vectors are remembered for tenants that are named, apart from each other, and within bounds."""

from __future__ import annotations

import numpy as np

from embeddings_mcp.cache import VectorCache
from embeddings_mcp.config.file import CachePolicy
from embeddings_mcp.domain import Item, Vectors

TEXT = Item("hello", "document")


def row(value: float, length: int = 4) -> Vectors:
    return np.full(length, value, dtype=np.float32)


def test_nothing_is_remembered_unless_the_tenant_is_named() -> None:
    cache = VectorCache(CachePolicy())
    cache.put("acme", "m", TEXT, row(1))
    cache.put(None, "m", TEXT, row(1))
    assert cache.get("acme", "m", TEXT) is None
    assert cache.get(None, "m", TEXT) is None
    assert cache.size == 0


def test_a_named_tenant_gets_its_own_vectors_back_and_nobody_else_does() -> None:
    cache = VectorCache(CachePolicy(tenants=("acme", "other")))
    cache.put("acme", "m", TEXT, row(1))
    found = cache.get("acme", "m", TEXT)
    assert found is not None
    assert found.tolist() == [1, 1, 1, 1]
    assert cache.get("other", "m", TEXT) is None
    assert cache.get(None, "m", TEXT) is None


def test_a_star_means_everyone_and_keeps_tenants_apart_all_the_same() -> None:
    cache = VectorCache(CachePolicy(tenants=("*",)))
    cache.put(None, "m", TEXT, row(1))
    assert cache.get(None, "m", TEXT) is not None
    assert cache.get("acme", "m", TEXT) is None
    assert cache.get("", "m", TEXT) is None


def test_model_and_kind_of_input_belong_to_the_key() -> None:
    cache = VectorCache(CachePolicy(tenants=("*",)))
    cache.put("t", "m", TEXT, row(1))
    assert cache.get("t", "n", TEXT) is None
    assert cache.get("t", "m", Item("hello", "query")) is None


def test_parts_of_a_key_cannot_run_into_each_other() -> None:
    cache = VectorCache(CachePolicy(tenants=("*",)))
    cache.put("ab", "c", TEXT, row(1))
    assert cache.get("a", "bc", TEXT) is None


def test_the_least_used_go_when_the_memory_is_full() -> None:
    cache = VectorCache(CachePolicy(max_mb=1, tenants=("*",)))
    length = 2**16  # a quarter of a megabyte each, so the third goes over with its overhead and the fourth for sure
    for name in "abc":
        cache.put(None, "m", Item(name, "document"), row(1, length))
    assert cache.get(None, "m", Item("a", "document")) is not None
    cache.put(None, "m", Item("d", "document"), row(1, length))
    kept = [name for name in "abcd" if cache.get(None, "m", Item(name, "document")) is not None]
    assert kept == ["a", "c", "d"]
    assert cache.size <= 2**20


def test_putting_a_text_again_does_not_count_it_twice() -> None:
    cache = VectorCache(CachePolicy(tenants=("*",)))
    cache.put(None, "m", TEXT, row(1))
    before = cache.size
    cache.put(None, "m", TEXT, row(1))
    assert cache.size == before


def test_a_remembered_vector_does_not_keep_its_batch_alive() -> None:
    cache = VectorCache(CachePolicy(tenants=("*",)))
    batch = np.ones((64, 4), dtype=np.float32)
    cache.put(None, "m", TEXT, batch[0])
    found = cache.get(None, "m", TEXT)
    assert found is not None
    assert found.base is None
