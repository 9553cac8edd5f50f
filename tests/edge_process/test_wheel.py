"""The wheel as users install it: it works outside the checkout, with the configuration that it carries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.edge_process.process import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and return the folder that an installer would make of it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the wheel, far from the checkout."""
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_MCP_CONFIG")}
    environ |= {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=site.parent, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("package", ["router_mcp", "embeddings_mcp"])
def test_the_configuration_that_ships_is_in_the_wheel_and_good(unpacked: Path, package: str) -> None:
    checked = run(unpacked, package, "config", "check")
    assert checked.returncode == 0, checked.stderr
    assert str(unpacked / package / "_configs") in checked.stdout + checked.stderr


def test_the_installed_router_routes_by_the_shipped_catalog(unpacked: Path) -> None:
    dry = run(unpacked, "router_mcp", "route", "--task", "reasoning", "--json")
    assert [step["model"] for step in json.loads(dry.stdout)["plan"]] == [
        "mixtral-8x7b-instruct",
        "llama3.1-8b-instruct",
    ]


@pytest.mark.parametrize("profile", ["embedded", "dev-cpu", "dev-gpu", "staging", "production"])
def test_every_profile_is_in_the_wheel(unpacked: Path, profile: str) -> None:
    path = unpacked / "router_mcp" / "_configs" / "profiles" / f"{profile}.yaml"
    checked = run(unpacked, "router_mcp", "config", "check", str(path))
    assert checked.returncode == 0, checked.stderr


def test_the_wheel_carries_its_types_and_licence(unpacked: Path) -> None:
    assert (unpacked / "router_mcp" / "py.typed").exists()
    assert (unpacked / "embeddings_mcp" / "py.typed").exists()
    assert list(unpacked.glob("*.dist-info/licenses/LICENSE"))
