"""Lines are read from whatever stdin is, and can stop being read."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import anyio.lowlevel
import pytest

from router_mcp.edge.stdin import Lines

pytestmark = pytest.mark.anyio


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    ours, theirs = os.pipe()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


async def test_lines_come_one_by_one_however_they_arrive() -> None:
    with pipe() as (ours, theirs):
        lines = Lines(ours)
        os.write(theirs, "a\nü".encode())
        assert await anext(lines) == "a\n"
        os.write(theirs, b"b\n\xffc\nrest")
        os.close(theirs)
        assert [line async for line in lines] == ["üb\n", "\ufffdc\n", "rest"]
        assert lines.ended.is_set()
        assert [line async for line in lines] == []


async def test_closing_ends_the_wait_for_the_next_line_and_drops_what_was_not_read() -> None:
    with pipe() as (ours, theirs):
        lines = Lines(ours)
        os.write(theirs, b"a\nb\n")
        assert await anext(lines) == "a\n"

        async def close() -> None:
            lines.close()

        async with anyio.create_task_group() as group:
            group.start_soon(close)
            await anyio.lowlevel.checkpoint()
            assert [line async for line in lines] == []
        os.close(theirs)


async def test_closing_wakes_who_waits() -> None:
    with pipe() as (ours, theirs):
        lines = Lines(ours)

        async def read() -> None:
            assert [line async for line in lines] == []

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                lines.close()
        os.close(theirs)


async def test_lines_closed_before_they_are_read_are_none() -> None:
    with pipe() as (ours, theirs):
        lines = Lines(ours)
        lines.close()
        assert [line async for line in lines] == []
        os.close(theirs)


async def test_a_peer_that_died_with_unread_data_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.send(b"unread")
        theirs.send(b"a\nb")
        theirs.close()
        assert [line async for line in Lines(ours.fileno())][:1] == ["a\n"]


async def test_a_wake_up_for_nothing_is_no_end() -> None:
    """Many readers of one non-blocking pipe: all wake, all but one find it empty."""
    with pipe() as (ours, theirs):
        os.set_blocking(ours, False)
        found: list[str] = []

        async def read() -> None:
            copy = os.dup(ours)
            found.extend([line async for line in Lines(copy)])
            os.close(copy)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(read)
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
                os.write(theirs, b"a\n")
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
                os.write(theirs, b"b\n")
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
                os.close(theirs)
        assert sorted(found) == ["a\n", "b\n"]
