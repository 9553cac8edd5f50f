"""Downloads one package from the index that this machine's installer is set up for.

The installer knows proxies, mirrors and credentials; nothing here has to. What it says of a failure goes to
stderr, for the person who reads it; its stdout is closed, because ours may be an MCP channel.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from router_mcp.errors import UnreachableError

Download: TypeAlias = Callable[[str, Path, Callable[[int], None]], None]
"""Puts a package into a folder, as a wheel or unpacked, telling the bytes that are there so far."""

POLL_S = 0.2
_UV_FLAGS = ("--quiet", "--no-deps", "--only-binary=:all:")
_PIP_FLAGS = (*_UV_FLAGS, "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--retries=2")


def download(
    requirement: str,
    into: Path,
    on_bytes: Callable[[int], None],
    *,
    command: Sequence[str] = (),
    poll_s: float = POLL_S,
) -> None:
    """Put the package, and none that it depends on, into the folder.

    Raises `UnreachableError` when there is no installer, or when it fails. `command` replaces the installer.
    """
    command = command or installer(into, find_spec=importlib.util.find_spec, which=shutil.which)
    # Its temporary files are kept in the folder too, so that they can be counted and go with it.
    environ = os.environ | {"TMPDIR": str(into), "UV_CACHE_DIR": str(into / "cache")}
    null = subprocess.DEVNULL
    # The folder is the working directory, because Python looks for modules there.
    with subprocess.Popen([*command, requirement], cwd=into, env=environ, stdin=null, stdout=null) as process:  # noqa: S603 - ours
        try:
            status = _wait(process, poll_s, lambda: on_bytes(_bytes_in(into)))
        except BaseException:
            process.kill()
            raise
    if status != 0:
        raise UnreachableError(
            f"{requirement} could not be downloaded: the installer ended with status {status}. "
            "See what it said on stderr, and that it can reach a package index (PIP_INDEX_URL, or UV_DEFAULT_INDEX)."
        )


def installer(into: Path, *, find_spec: Callable[[str], object], which: Callable[[str], str | None]) -> list[str]:
    """Return the command, but for the requirement, of the installer that is here: pip, else uv."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "download", *_PIP_FLAGS, "--dest", str(into)]
    if uv := which("uv"):  # it makes environments without pip, and has no download of its own
        return [uv, "pip", "install", *_UV_FLAGS, "--python", sys.executable, "--target", str(into)]
    raise UnreachableError(
        "Neither pip nor uv is here to download a package with. Run `python -m ensurepip`, or install uv."
    )


def _wait(process: subprocess.Popen[bytes], poll_s: float, between: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(poll_s)
        except subprocess.TimeoutExpired:
            between()


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # the installer moves its files while we count
                total += (Path(parent) / name).lstat().st_size
    return total
