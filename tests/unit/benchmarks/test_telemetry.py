"""What telemetry costs is told as shares of the whole and of what routing adds, beside the noise of the run."""

from __future__ import annotations

import pytest

from benchmarks.telemetry import Found

START = {
    "empty": [0.5, 0.6, 0.5],
    "unwatched": [1.0, 1.2, 1.0],
    "twin": [1.0, 1.2, 1.0],
    "off": [1.0, 1.2, 1.0],
    "sampled": [1.05, 1.26, 1.05],
    "on": [1.1, 1.32, 1.1],
}


def test_shares_are_paired_and_of_what_routing_adds_they_are_larger() -> None:
    found = Found([START, START], floor=0.2).readings()
    assert found["on, ms"] == 1.1
    assert found["on : unwatched"] == pytest.approx(1.1)
    assert found["off : unwatched"] == 1
    assert found["on, % of the whole"] == pytest.approx(10)
    assert found["on, % of what routing adds"] == pytest.approx(20)
    assert found["bare SDK, % of what routing adds"] == pytest.approx(40)
    assert found["noise, % of the whole"] == 0


def test_twins_that_differ_from_start_to_start_are_noise() -> None:
    other = START | {"twin": [1.1, 1.32, 1.1]}
    found = Found([START, other], floor=0.2).readings()
    assert found["noise, % of the whole"] == pytest.approx(10)
    assert found["noise, % of what routing adds"] == pytest.approx(20)
