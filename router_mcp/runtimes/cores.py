"""How many CPU threads a model in a child process gets by default."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def spare_cores(*, cores: int | None = None, cpu_max: Path = _CPU_MAX) -> int:
    """Return all cores that this process may use but one, and at least one.

    llama.cpp's threads wait for each other in a busy loop, so one thread more than there are free cores makes it
    slow as snow: on 2 cores with two other busy processes, 2 threads wrote 3 tokens a second and 1 thread 21. The
    router and its clients need some of a core as well.
    """
    return max(1, min(cores or _cores(), _quota(cpu_max)) - 1)


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(cpu_max: Path) -> int:
    """Return the cores that a container's limit amounts to; Python does not know of that limit."""
    try:
        quota, period = (int(word) for word in cpu_max.read_text().split())
        return max(1, quota // period)
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2, or "max"
        return sys.maxsize
