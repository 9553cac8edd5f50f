"""litellm in an environment of its own, in the user's cache: it brings 250 MB, and pins what others need newer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clients.npm import user_cache
from tests.clients.venvs import uv_environ

VERSION = "1.109.1"
LOOSE = "certifi>=2024"
"""It wants a certifi of a certain day, which not every index has."""


def peer_python() -> Path | None:
    """Return the Python that has litellm, installing it first; `None` when that fails."""
    folder = user_cache() / f"litellm-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    python, done = folder / "bin" / "python", folder / ".installed"
    if done.exists():
        return python
    with TemporaryDirectory() as scratch:
        override = Path(scratch, "override.txt")
        override.write_text(LOOSE + "\n")
        uv = Path(sys.executable).with_name("uv")
        for arguments in (
            ["venv", "--allow-existing", "--python", sys.executable, str(folder)],
            ["pip", "install", "--python", str(python), "--override", str(override), f"litellm=={VERSION}"],
        ):
            if subprocess.run([uv, "--quiet", *arguments], check=False, env=uv_environ()).returncode:
                return None
    done.touch()
    return python
