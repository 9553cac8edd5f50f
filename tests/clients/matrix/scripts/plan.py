"""What every client does, and where it says how it went. It runs with each client's own packages, and none of ours."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PLAN: dict[str, Any] = json.loads(os.environ["PLAN"])

COMMAND: str = _PLAN["command"]
ARGS: list[str] = _PLAN["args"]
ENV: dict[str, str] = _PLAN["env"]
GENERATE: dict[str, Any] = _PLAN["generate"]
STRUCTURED: dict[str, Any] = _PLAN["structured"]
BAD: dict[str, Any] = _PLAN["bad"]
"""A call that the server refuses with a sentence; the client must see it, and be able to go on."""
WAIT_S = 120


def report(package: str, **row: Any) -> None:
    """Say how it went: `tools`, `text`, `data`, `error`, `again`, and `protocol` where the client knows it."""
    Path(os.environ["REPORT"]).write_text(json.dumps({"version": version(package), **row}))


def texts(content: Any) -> str:
    """Return the text of content blocks."""
    return "".join(getattr(block, "text", "") for block in content)
