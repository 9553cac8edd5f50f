"""Parts of many replicas behave as tuples of them would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.domain import Endpoint
from router_mcp.replicas import Replicas

ALL = tuple(Endpoint(runtime="gpu", url=f"http://gpu-{n}") for n in range(6))
WHOLE = Replicas(ALL)
URLS = st.lists(st.sampled_from([*(each.url for each in ALL), "http://elsewhere"]))


def check(part: Replicas, expected: list[Endpoint]) -> None:
    """Hold a part against what a plain list says."""
    assert list(part) == expected
    assert len(part) == len(expected)
    assert bool(part) == bool(expected)
    assert part == tuple(expected)
    assert part == Replicas(expected)
    assert hash(part) == hash(Replicas(expected))
    assert [each for each in ALL if each in part] == expected
    assert [part[index] for index in range(len(part))] == expected
    assert part[1:] == tuple(expected[1:])
    assert not expected or part[-1] == expected[-1]
    with pytest.raises(IndexError):
        part[len(expected)]


@given(URLS, URLS, URLS)
def test_a_part_of_a_part_is_what_is_left(first: list[str], second: list[str], third: list[str]) -> None:
    left = [each for each in ALL if each.url not in first]
    check(WHOLE.without(first), left)
    check(WHOLE.without(first).without(second), [each for each in left if each.url not in second])
    check(WHOLE.without(first).only(third), [each for each in left if each.url in third])
    check(WHOLE.only(third).without(second), [each for each in ALL if each.url in third and each.url not in second])
    check(WHOLE, list(ALL))


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=len(ALL), max_size=len(ALL)))
def test_a_split_is_what_is_in_no_part_and_then_each_part(places: list[int]) -> None:
    parts = [{each.url for each, place in zip(ALL, places, strict=True) if place == part} for part in (1, 2)]
    for split, part in zip(WHOLE.split(parts), (0, 1, 2), strict=True):
        check(split, [each for each, place in zip(ALL, places, strict=True) if place == part])


def test_one_that_is_listed_twice_counts_once() -> None:
    assert Replicas((*ALL, ALL[0])) == ALL


def test_leaving_out_a_stranger_leaves_all() -> None:
    assert WHOLE.without(["http://elsewhere"]) is WHOLE


def test_replicas_are_told_from_those_of_another_runtime_and_from_other_things() -> None:
    assert Endpoint(runtime="cpu", url=ALL[0].url) not in WHOLE
    assert ALL[0] not in Replicas()
    assert ALL[1:] != WHOLE
    assert WHOLE != "http://gpu-0"
    assert repr(WHOLE.only([ALL[0].url])) == f"Replicas([{ALL[0]!r}])"
