"""What the benchmarks claim is judged, paired and shown as it was found."""

from __future__ import annotations

import pytest

from benchmarks.processes import Batch, quantile
from benchmarks.results import Claim, Section, median_ratio, page, shown
from benchmarks.rounds import FULL, QUICK, Rounds, compared


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (Claim("", 1.0, most=1.0), True),
        (Claim("", 1.01, most=1.0), False),
        (Claim("", 0.55, least=0.55), True),
        (Claim("", 0.54, least=0.55), False),
        (Claim("", float("nan"), most=1.0), False),
    ],
)
def test_a_claim_holds_up_to_its_limit_and_no_further(claim: Claim, holds: bool) -> None:
    assert claim.holds == holds


def test_a_broken_claim_is_told_with_its_limit_and_its_unit() -> None:
    assert Claim("memory", 6.25, most=5.0, unit=" MB").row() == ["memory", "≤ 5 MB", "6.25 MB", "**no**"]
    assert Claim("rate", 0.7, least=0.55).row() == ["rate", "≥ 0.55", "0.7", "yes"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.01234, "0.0123"), (12.345, "12.3"), (123.4, "123"), (-250.0, "-250")]
)
def test_numbers_are_shown_with_the_digits_that_count(value: float, text: str) -> None:
    assert shown(value) == text


def batch(cpu_ms: float, calls_per_s: float = 100.0) -> Batch:
    return Batch(cpu_ms=cpu_ms, calls_per_s=calls_per_s, p50_ms=1.0, p99_ms=2.0)


def test_ratios_are_of_the_same_round_so_a_slow_round_slows_both() -> None:
    found = Rounds(
        {
            "empty": [batch(1), batch(10), batch(1)],
            "naive": [batch(3), batch(30), batch(3)],
            "ours": [batch(2), batch(20), batch(2.5)],
        }
    )
    assert found.cpu_ms("ours") == 2.5
    assert found.added("ours", "naive") == 0.5
    assert found.part("ours", "naive") == pytest.approx(1 / 3)
    assert found.ratio("cpu_ms", "ours", "naive") == pytest.approx(2 / 3)
    assert median_ratio([1, 20, 3], [1, 10, 1]) == 2


def test_a_quantile_is_a_value_that_was_found() -> None:
    values = list(range(100, 0, -1))
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([7.0], 0.99)) == (51, 100, 7.0)


class Noted:
    """Something measured that only notes when."""

    def __init__(self, name: str, log: list[tuple[str, int]]) -> None:
        self.name = name
        self._log = log

    async def measure(self, size: int, *, calls: int, at_once: int) -> Batch:
        self._log.append((self.name, calls))
        return batch(len(self._log))


@pytest.mark.anyio
async def test_rounds_begin_with_each_in_turn_after_a_warm_up_that_does_not_count() -> None:
    log: list[tuple[str, int]] = []
    found = await compared([Noted("a", log), Noted("b", log)], 1000, calls=300, at_once=1, rounds=2)
    assert log == [("a", 40), ("b", 40), ("b", 300), ("a", 300), ("a", 300), ("b", 300)]
    assert [len(batches) for batches in found.found.values()] == [2, 2]


def test_a_full_run_has_the_rounds_that_a_median_needs_and_a_quick_one_still_has_calls() -> None:
    assert FULL.rounds >= 5
    assert (FULL.calls(300), QUICK.calls(300), QUICK.calls(40), QUICK.calls(300, at_once=256)) == (300, 75, 20, 256)


def test_the_page_names_every_claim_what_was_not_run_and_how_to_run_it() -> None:
    section = Section("Calls", "About calls.", ("case", "ms"), [("1 kB", "2.5")], [Claim("it holds", 2.0, most=1.0)])
    text = page([section], how="make bench", skipped=["litellm.Router, which could not be installed"])
    assert "Written by `make bench` on " in text
    assert "| it holds | ≤ 1 | 2 | **no** |" in text
    assert "| case | ms |\n|---|--:|\n| 1 kB | 2.5 |" in text
    assert "Not run: litellm.Router" in text
