"""The report itself: what it measures, what it calls broken, and when it looks again."""

from __future__ import annotations

import anyio
import pytest

from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.judge import TRIES, Judge, Measured
from tests.chaos.report import HEAD, row

pytestmark = pytest.mark.anyio


async def test_a_row_shows_what_callers_noticed_under_its_headings(fleet: Fleet) -> None:
    measured = await row(fleet, ("vllm", "ollama"), Fault.FAILED)
    assert measured.kept
    name, numbers = measured.line[:27], measured.line[27:].split()
    assert name.strip() == "500"
    assert numbers[0] == "0", "errors"
    assert int(numbers[1]) >= 1000
    assert len(measured.line) == len(HEAD)
    demoted, reinstated = (float(measured.line[start : start + 9].split()[0]) for start in (-21, -10))
    assert 1.9 < demoted < 12
    assert 0 < reinstated < 20


async def test_a_broken_promise_is_counted_and_said(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge(fleet)

    async def well() -> Measured:
        return Measured("all is well")

    async def ill() -> Measured:
        return Measured("too late", kept=False)

    await judge.judge(well)
    await judge.judge(ill)
    assert judge.broken == 1
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[-1]) == ("all is well", "too late   ← BROKEN")


async def test_what_a_busy_machine_spoilt_is_measured_again_but_not_for_ever(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    judge, tries = Judge(fleet, busy_s=-1.0), 0  # every machine is busier than that

    async def late() -> Measured:
        nonlocal tries
        tries += 1
        await anyio.lowlevel.checkpoint()
        return Measured(f"try {tries}", kept=tries == 2)

    await judge.judge(late)
    assert (tries, judge.broken) == (2, 0)
    tries = 2
    await judge.judge(late)
    assert (tries, judge.broken) == (2 + TRIES, 1)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"try {tries}   ← BROKEN"
    assert sum("measured again" in line for line in said) == TRIES
