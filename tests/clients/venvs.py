"""Python clients in virtual environments of their own in the user's cache, each made once, by package name.

They cannot share one: half of them want `mcp` 1, the others `mcp` 2.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.clients.npm import INSTALL_S, user_cache

_PIP_TO_UV = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
"""A machine that tells pip where its packages are has told uv nothing."""


def python_with(name: str, packages: Sequence[str], cache: Path | None = None) -> Path:
    """Return the Python of an environment that holds these packages, making it first when the cache does not."""
    versions = re.sub(r"[^\w.]+", "-", "-".join(packages)).strip("-")
    root = cache or user_cache()
    folder = root / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{versions}"[:200]
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(dir=root, prefix=".installing-"))
        try:
            _make(made, packages)
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder / "bin" / "python"


def uv_environ() -> dict[str, str]:
    """Return this environment, with what it tells pip of the package index told to uv as well."""
    known = {uv_name: os.environ[pip_name] for pip_name, uv_name in _PIP_TO_UV.items() if pip_name in os.environ}
    return {**known, **os.environ}


def _make(folder: Path, packages: Sequence[str]) -> None:
    """Make the environment; it is moved afterwards, which is why no script of it is ever run, only its Python."""
    uv = Path(sys.executable).with_name("uv")
    for arguments in (
        ["venv", "--python", sys.executable, "--allow-existing", str(folder)],
        ["pip", "install", "--python", str(folder / "bin" / "python"), *packages],
    ):
        done = subprocess.run(
            [uv, "--quiet", *arguments],
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
            env=uv_environ(),
        )
        wanted = " ".join(packages)
        assert done.returncode == 0, f"uv could not install {wanted}; is a package index reachable?\n{done.stderr}"
