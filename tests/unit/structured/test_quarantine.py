"""A constraint that an engine fell over is kept from it for a while; what it has answered before is not suspected."""

from __future__ import annotations

import pytest

from router_mcp.errors import QuarantinedError
from router_mcp.structured.quarantine import FIRST_S, GROWTH, LONGEST_S, PROVEN, SUSPECTS, Quarantine


def is_held(quarantine: Quarantine, now: float, runtime: str = "gpu", key: str = "k", *, insists: bool = False) -> bool:
    try:
        quarantine.refuse(runtime, key, now, insists=insists)
    except QuarantinedError:
        return True
    return False


def fall(quarantine: Quarantine, now: float, key: str = "k", *, died: bool = True) -> None:
    """Have an engine fail in the middle of a call that began just before."""
    quarantine.failed("gpu", key, now, begun=now - 0.1, died=died)


def test_a_suspect_is_held_for_a_while_on_that_runtime_only() -> None:
    quarantine = Quarantine()
    assert not is_held(quarantine, 0)
    fall(quarantine, 0)
    assert is_held(quarantine, FIRST_S - 1)
    assert not is_held(quarantine, FIRST_S)
    assert not is_held(quarantine, 1, runtime="laptop")
    assert not is_held(quarantine, 1, key="other")


def test_the_refusal_says_for_how_long_and_what_to_do() -> None:
    quarantine = Quarantine()
    fall(quarantine, 0)
    with pytest.raises(QuarantinedError, match=r"gpu failed .* again for 50 s\. Simplify the constraint") as raised:
        quarantine.refuse("gpu", "k", 10)
    assert raised.value.retry_after_s == FIRST_S - 10


def test_each_coincidence_holds_it_longer_up_to_a_limit() -> None:
    quarantine, now = Quarantine(), 0.0
    for times in range(6):
        fall(quarantine, now)
        held = min(LONGEST_S, FIRST_S * GROWTH**times)
        assert is_held(quarantine, now + held - 1)
        now += held
        assert not is_held(quarantine, now)


def test_a_call_that_insists_is_let_through_once_and_nobody_after_the_second_coincidence() -> None:
    quarantine = Quarantine()
    fall(quarantine, 0)
    assert not is_held(quarantine, 1, insists=True)
    fall(quarantine, 1)
    assert is_held(quarantine, 2, insists=True)


def test_calls_that_were_under_way_together_are_one_coincidence() -> None:
    """An outage under traffic must not look like a schema that kills again and again."""
    quarantine = Quarantine()
    for n in range(32):
        quarantine.failed("gpu", "k", 10 + n / 1000, begun=9)
    assert not is_held(quarantine, 11, insists=True)
    assert not is_held(quarantine, 11 + FIRST_S)


def test_silence_never_proves_anything() -> None:
    quarantine = Quarantine()
    for now in (0, 100, 200):
        fall(quarantine, now, died=False)
        assert is_held(quarantine, now + 1)
        assert not is_held(quarantine, now + 1, insists=True)
    fall(quarantine, 300)
    fall(quarantine, 400, died=False)
    assert is_held(quarantine, 401, insists=True), "silence does not clear a verdict either"


def test_an_answer_clears_it_and_what_was_answered_is_never_suspected_again() -> None:
    quarantine = Quarantine()
    fall(quarantine, 0)
    quarantine.answered("gpu", "k")
    assert not is_held(quarantine, 1)
    fall(quarantine, 2)
    assert not is_held(quarantine, 3)


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    quarantine = Quarantine()
    for n in range(SUSPECTS + 1):
        fall(quarantine, 0, f"k{n}")
    assert not is_held(quarantine, 1, key="k0")
    assert is_held(quarantine, 1, key="k1")
    for n in range(PROVEN + 1):
        quarantine.answered("gpu", f"p{n}")
    fall(quarantine, 0, "p0")
    assert is_held(quarantine, 1, key="p0")
    fall(quarantine, 0, "p1")
    assert not is_held(quarantine, 1, key="p1")
