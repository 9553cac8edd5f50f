"""Heavy imports, made cheaper."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Import without garbage collection, and leave what was imported out of every later one.

    Modules live as long as the process does: to look through them for garbage costs a start 0.1 s, and calls pauses.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
