"""Messages are written whole to whatever stdout is, and a slow reader holds up nobody but its own session."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from router_mcp.edge.stdout import Wire, taken_stdout

pytestmark = pytest.mark.anyio

LONG = "ü" * 300_000 + "\n"
"""More than any pipe holds."""


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    theirs, ours = os.pipe()
    try:
        yield theirs, ours
    finally:
        for end in (theirs, ours):
            with suppress(OSError):
                os.close(end)


async def read(fd: int, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        await anyio.wait_readable(fd)
        found += os.read(fd, 65_536)
    return bytes(found)


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_message_longer_than_the_pipe_arrives_whole_and_in_order(blocking: bool) -> None:
    with pipe() as (theirs, ours), anyio.fail_after(10):
        os.set_blocking(ours, blocking)
        wire = Wire(ours)
        await wire.write("first\n")

        async def write() -> None:
            await wire.write(LONG)
            await wire.flush()

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            for _ in range(3):  # nobody reads yet, and we still run
                await anyio.lowlevel.checkpoint()
            expected = b"first\n" + LONG.encode()
            assert await read(theirs, len(expected)) == expected


async def test_a_place_in_the_pipe_that_another_process_took_meanwhile_is_waited_for() -> None:
    """Many writers of one non-blocking pipe: all wake, all but one find it full."""
    with pipe() as (theirs, ours), anyio.fail_after(10):
        os.set_blocking(ours, False)
        filling = 0
        with suppress(BlockingIOError):
            while True:
                filling += os.write(ours, b"x" * 4096)

        async def write(number: int) -> None:
            copy = os.dup(ours)
            await Wire(copy).write(f"{number}" * 4096)
            os.close(copy)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(write, number)
            await anyio.wait_all_tasks_blocked()
            found = await read(theirs, filling + 4 * 4096)
        assert sorted(found[filling:]) == sorted(b"0123" * 4096)


async def test_a_reader_that_is_gone_is_noticed() -> None:
    with pipe() as (theirs, ours):
        os.close(theirs)
        with pytest.raises(BrokenPipeError):
            await Wire(ours).write("x\n")


async def test_a_file_takes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb") as file:
        await Wire(file.fileno()).write(LONG)
    assert path.read_text() == LONG


async def test_what_others_print_goes_to_stderr_until_stdout_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    with taken_stdout() as wire:
        os.write(1, b"stray\n")
        await wire.write("wire\n")
    os.write(1, b"later\n")
    assert capfd.readouterr() == ("wire\nlater\n", "stray\n")


async def test_without_a_stderr_what_others_print_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    saved = os.dup(2)
    os.close(2)
    try:
        with taken_stdout() as wire:
            os.write(1, b"stray\n")
            await wire.write("wire\n")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert capfd.readouterr() == ("wire\n", "")
