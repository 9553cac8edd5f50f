"""Schemas made to hurt are refused by name or handled, within bounds that a process with limits enforces."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from router_mcp.domain import JsonSchema
from router_mcp.errors import OutputInvalidError, SchemaInvalidError
from router_mcp.structured import Compiled, Preparer, check, compile_for, instructions, room_of
from tests.unit.structured.hostile import ANSWERS, HOSTILE

CPU_SECONDS = 90
"""For all of them together, on the slowest machine: seen are 8."""
MEMORY = 2 * 2**30
"""Address space; the process maps 700 MB before it begins."""


def said(schema: Any) -> list[str]:
    """Do everything that the router does with a constraint and an answer; return every error's text."""
    try:
        ready = Preparer().prepare(JsonSchema(schema))
    except SchemaInvalidError as refused:
        return [str(refused)]
    for kind in ("vllm", "embedded", "ollama"):
        for room in (None, room_of(kind, 1024, short=False), room_of(kind, 1024, short=True)):
            compile_for(kind, ready, room=room)
    errors = [instructions(ready, 500)]
    for text in ANSWERS:
        try:
            check(ready, Compiled(ready.constraint), text, "stop")
        except OutputInvalidError as error:
            errors.append(str(error))
    return errors


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 50


@pytest.mark.parametrize(
    "name",
    [
        "40 objects deep",
        "5 MB of description",
        "a remote reference",
        "a counted pattern to the third",
        "a chain of 4,000 references",
        "oneOf 2 to the 25 by references",
        "references in a ring",
        "minItems of a billion",
    ],
)
def test_what_could_not_be_bounded_is_refused_by_name(name: str) -> None:
    with pytest.raises(SchemaInvalidError):
        Preparer().prepare(JsonSchema(HOSTILE[name]()))


def test_none_of_them_takes_the_process_beyond_its_limits() -> None:
    """In a process of its own: what is to be shown is that it neither hangs, nor fills the memory, nor dies."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    code = (
        "from tests.unit.structured.hostile import HOSTILE\n"
        "from tests.unit.structured.test_hostile import said\n"
        "for name, build in HOSTILE.items():\n"
        "    print(name, flush=True)\n"
        "    assert max(map(len, said(build()))) < 2_500\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        preexec_fn=limits,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"at {done.stdout.splitlines()[-1:]}: {done.stderr[-600:]}"
    assert len(done.stdout.splitlines()) == len(HOSTILE)
