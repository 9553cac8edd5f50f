"""Where the live suite keeps what it builds: a venv with the server, and a model folder in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[3]
VENV = ROOT / ".venv-vllm"
PYTHON = VENV / "bin" / "python"


def cache() -> Path:
    """Return this project's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "router-mcp"


def model() -> Path:
    """Return the folder that holds the model in Hugging Face's format."""
    return cache() / "models" / "smollm2-135m-instruct"
