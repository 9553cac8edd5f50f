"""The folder that operators' commands write and every process reads: whole files, replaced at once, under a lock.

A crash leaves a file as it was or as it was to be, never half of it. Readers need no lock.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from router_mcp.errors import ConfigError

Fingerprint: TypeAlias = tuple[int, int, int] | None
"""Changes when a file is replaced or written; `None` when it is not there."""


class StateDirectory:
    """One folder. Nothing is made before something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def fingerprint(self, name: str) -> Fingerprint:
        """Return what tells one version of a file from another."""
        return fingerprint(self.path / name)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, `None` when it is not there; raise `ConfigError` when it cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path / name}: cannot be read ({error.strerror}). Correct its rights.") from None

    def write(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Replace a file at once, and for good unless it need not be `durable`.

        Raises `ConfigError` when it cannot be written.
        """
        with self._writing():
            replace_file(self._made(name), content, mode=0o600, durable=durable)

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file, for good."""
        with self._writing():
            descriptor = os.open(self._made(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def locked(self, name: str) -> Generator[None]:
        """Keep every other process that asks for the same lock waiting; a process that dies gives it back."""
        descriptor = self._lock_file(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def lock_if_free(self, name: str) -> Generator[bool]:
        """Take a lock if nobody has it, and tell whether it was taken."""
        descriptor = self._lock_file(name)
        try:
            yield _lock_now(descriptor)
        finally:
            os.close(descriptor)

    def _lock_file(self, name: str) -> int:
        with self._writing():
            return os.open(self._made(f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _made(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            remedy = "Set ROUTER_MCP_STATE to a folder that can."
            raise ConfigError(f"The state folder {self.path} cannot be written ({reason}). {remedy}") from None


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fingerprint(path: Path) -> Fingerprint:
    """Return what tells one version of a file from another; it costs one look at the folder."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def replace_file(path: Path, content: bytes, *, mode: int, durable: bool = True) -> None:
    """Replace a file by one that is wholly written (and on disk, if `durable`) before it takes the name.

    Raises `OSError`.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def state_directory(environ: Mapping[str, str]) -> StateDirectory | None:
    """Return the folder of `ROUTER_MCP_STATE`, else the user's own; `None` for a user who has no home."""
    if named := environ.get("ROUTER_MCP_STATE"):
        return StateDirectory(Path(named).expanduser())
    base = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else None)
    return StateDirectory(Path(base) / "router-mcp") if base else None
