"""Configuration: a file becomes a frozen `EmbeddingsFile`, or an error that says what to change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from embeddings_mcp.config.checks import problems
from embeddings_mcp.config.file import EmbeddingsFile
from router_mcp.config.base import read_source, validate

__all__ = ["EmbeddingsFile", "default_path", "embedded_path", "load_config"]


def load_config(path: Path | str, environ: Mapping[str, str] | None = None) -> EmbeddingsFile:
    """Read and check a configuration; raise `ConfigError` that names every problem with its line."""
    source = read_source(Path(path), os.environ if environ is None else environ)
    file = validate(source, EmbeddingsFile)
    if found := problems(file):
        raise source.error(found)
    return file


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the file to use when none is named: `EMBEDDINGS_MCP_CONFIG`, else the one that ships."""
    named = (os.environ if environ is None else environ).get("EMBEDDINGS_MCP_CONFIG")
    return Path(named) if named else _shipped("embeddings.yaml")


def embedded_path() -> Path:
    """Return the configuration that needs no server: the embedded model only."""
    return _shipped("embedded.yaml")


def _shipped(name: str) -> Path:
    package = Path(__file__).parents[1]
    inside = package / "_configs" / "embeddings" / name
    return inside if inside.exists() else package.parent / "configs" / "embeddings" / name
