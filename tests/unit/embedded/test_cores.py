"""The default number of threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_mcp.runtimes.cores import usable_cores


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", 8), ("200000 100000\n", 2), ("50000 100000\n", 1), ("1600000 100000\n", 8), ("rubbish", 8)],
    ids=["no limit", "two cores", "half a core", "more than there are", "not a limit"],
)
def test_a_containers_limit_counts_like_cores_that_are_not_there(tmp_path: Path, text: str, expected: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert usable_cores(cores=8, cpu_max=file) == expected


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert usable_cores(cores=8, cpu_max=tmp_path / "none") == 8


def test_this_machine_has_at_least_one() -> None:
    assert usable_cores() >= 1
