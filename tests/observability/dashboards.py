"""The Grafana dashboards, as the questions that they ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "infra" / "grafana"
FILES = sorted(FOLDER.glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the title of each panel and what it asks, with Grafana's variables filled in."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            asked = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$\w+", ".*", asked)
