"""A start is short, because some clients make one for every call (mcp-sdk.md finding 11)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.startup import paired

HEAVY = ("aiohttp", "httpx", "jsonschema", "llguidance", "numpy", "ollama", "opentelemetry.sdk", "rich", "wordllama")
"""Packages that calls need, and no first answer."""


@pytest.mark.parametrize("package", ["router_mcp", "embeddings_mcp"])
def test_a_server_imports_nothing_heavy_before_it_serves(package: str) -> None:
    code = f"import sys, {package}.__main__, {package}.cli.serve, {package}.edge.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not [name for name in HEAVY if name in done.stdout.split()]


def test_a_start_costs_little_more_than_an_empty_server_s() -> None:
    found = paired(["empty", "router", "embeddings"], runs=3)
    least = {name: min(start.cpu_s for start in starts) for name, starts in found.items()}
    for name in ("router", "embeddings"):
        # Of the CPU's seconds, which tests on a shared machine disturb least; the benchmark holds the clock's to 1.3.
        assert least[name] < 1.5 * least["empty"], f"{name}: {least}"
