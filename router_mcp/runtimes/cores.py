"""How many CPU threads a model in a child process gets by default."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(*, cores: int | None = None, cpu_max: Path = _CPU_MAX) -> int:
    """Return the cores that this process may use, whether it is held to them by affinity or by a container's limit.

    `cores` is what the machine offers, measured by default.
    """
    return min(cores or _cores(), _quota(cpu_max))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _quota(cpu_max: Path) -> int:
    """Return the cores that a container's limit amounts to; Python does not know of that limit."""
    try:
        quota, period = (int(word) for word in cpu_max.read_text().split())
        return max(1, quota // period)
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2, or "max"
        return sys.maxsize
