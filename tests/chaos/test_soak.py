"""A short soak; `make soak` takes its time."""

from __future__ import annotations

import random

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.soak import soak

pytestmark = pytest.mark.anyio


async def test_random_faults_leave_nothing_behind_and_nobody_sees_them(fleet: Fleet) -> None:
    soaked = await soak(fleet, 8, random.Random(3), round_s=8, deadline_s=4)
    assert soaked.problems(growth_kib=32 * 1024, deadline_s=4) == []
    assert soaked.calls > 100
    assert soaked.strikes >= 3
