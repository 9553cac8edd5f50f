"""Embeddings MCP as a library.

    async with open_embedder(load_config(default_path())) as embedder:
        result = await embedder.embed(EmbedRequest(texts=("a text", "another")))

Names are imported when they are first used, so that `embeddings_mcp.config` alone starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embeddings_mcp.config import EmbeddingsFile, default_path, embedded_path, load_config
    from embeddings_mcp.domain import EmbedRequest, EmbedResult, ModelCard, Ranked, RankRequest, RankResult
    from embeddings_mcp.embedder import Embedder
    from embeddings_mcp.errors import ItemsError
    from embeddings_mcp.prober import Prober
    from embeddings_mcp.wiring import open_embedder

__all__ = [
    "EmbedRequest",
    "EmbedResult",
    "Embedder",
    "EmbeddingsFile",
    "ItemsError",
    "ModelCard",
    "Prober",
    "RankRequest",
    "RankResult",
    "Ranked",
    "default_path",
    "embedded_path",
    "load_config",
    "open_embedder",
]

_HOMES = {
    "config": ("EmbeddingsFile", "default_path", "embedded_path", "load_config"),
    "domain": ("EmbedRequest", "EmbedResult", "ModelCard", "RankRequest", "RankResult", "Ranked"),
    "embedder": ("Embedder",),
    "errors": ("ItemsError",),
    "prober": ("Prober",),
    "wiring": ("open_embedder",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"embeddings_mcp.{home}"), name)
    raise AttributeError(f"module 'embeddings_mcp' has no attribute {name!r}")
