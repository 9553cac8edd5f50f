"""Downloading with whatever installer the machine has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from router_mcp.errors import UnreachableError
from router_mcp.runtimes.package_index import download, installer

INTO = Path("folder")


def test_pip_is_used_where_it_is_and_knows_the_index() -> None:
    command = installer(INTO, find_spec=lambda name: name, which=lambda name: None)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-2:] == ["--dest", "folder"]
    assert not any("://" in word for word in command)


def test_uv_is_used_where_there_is_no_pip() -> None:
    command = installer(INTO, find_spec=lambda name: None, which=lambda name: f"/bin/{name}")
    assert command[:3] == ["/bin/uv", "pip", "install"]
    assert command[-2:] == ["--target", "folder"]


def test_with_neither_the_remedy_is_named() -> None:
    with pytest.raises(UnreachableError, match="ensurepip"):
        installer(INTO, find_spec=lambda name: None, which=lambda name: None)


def test_the_bytes_that_have_come_are_counted_wherever_the_installer_keeps_them(tmp_path: Path) -> None:
    script = """
import os, pathlib, time
there = pathlib.Path(os.environ["TMPDIR"], "unpack")
there.mkdir()
(there / "part").write_bytes(b"x" * 1234)
while not pathlib.Path("seen").exists():
    time.sleep(0.01)
"""
    seen: list[int] = []

    def on_bytes(count: int) -> None:
        seen.append(count)
        if count >= 1234:
            (tmp_path / "seen").touch()

    download("anything==1", tmp_path, on_bytes, command=(sys.executable, "-c", script), poll_s=0.01)
    assert max(seen) == 1234


def test_a_failure_of_the_installer_says_its_status(tmp_path: Path) -> None:
    fails = (sys.executable, "-c", "raise SystemExit(2)")
    with pytest.raises(UnreachableError, match=r"anything==1 could not be downloaded.* status 2"):
        download("anything==1", tmp_path, lambda count: None, command=fails)


def test_an_installer_does_not_go_on_when_its_caller_gives_up(tmp_path: Path) -> None:
    waits = (sys.executable, "-c", "import signal; signal.pause()")

    def give_up(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # it would hang here if the installer were left to end by itself
        download("anything==1", tmp_path, give_up, command=waits, poll_s=0.01)
