"""Task groups wrap what is raised in them; here it comes out as it was."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def sole_error() -> Generator[None]:
    """Raise the one exception of an exception group in its place; a group of several stays a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__
