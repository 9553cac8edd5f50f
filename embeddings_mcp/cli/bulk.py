"""Any number of texts through an embedder, a chunk at a time, each outcome written as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from embeddings_mcp.cli import records
from embeddings_mcp.domain import EmbedRequest, Vectors
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.errors import ItemsError
from embeddings_mcp.request import dimensions_of, model_of
from embeddings_mcp.vectors import to_base64, to_floats

CHUNK = 512
"""Texts in one call: what a broken run can lose."""


@dataclass(slots=True)
class Tally:
    """What came of a run so far, an earlier one that it took up included."""

    model: str
    dimensions: int
    texts: int = 0
    failed: int = 0
    input_tokens: int = 0

    def summary(self) -> dict[str, Any]:
        """Return it for machines."""
        usage = {"input_tokens": self.input_tokens}
        return {
            "model": self.model,
            "dimensions": self.dimensions,
            "count": self.texts,
            "failed": self.failed,
            "usage": usage,
        }

    def sentence(self) -> str:
        """Return it for people."""
        failed = f", {self.failed:,} of them failed" if self.failed else ""
        return f"{self.texts:,} texts{failed}, {self.dimensions} dimensions, {self.model}"


@dataclass(frozen=True, slots=True)
class _Chunk:
    model: str
    vectors: dict[int, Any]
    errors: dict[int, str]


class Bulk:
    """Embeds as `template` says; its `texts` are not looked at."""

    def __init__(self, embedder: Embedder, template: EmbedRequest, encoding: Literal["float", "base64"]) -> None:
        model = model_of(embedder.file, template.model)
        self._embedder = embedder
        self._template = template
        self._written = to_base64 if encoding == "base64" else to_floats
        dimensions = dimensions_of(embedder.file, model, template.dimensions)
        self.kind = records.Kind(frozenset({model, *embedder.file.models[model].fallbacks}), dimensions)
        self.tally = Tally(model, dimensions)

    async def run(
        self,
        texts: Iterator[str],
        done: records.Done,
        write: Callable[[dict[str, Any]], object],
        advance: Callable[[int], None],
    ) -> Tally:
        """Embed what is left of `texts`, and tell `write` each outcome in order and `advance` each step."""
        tally = self.tally
        tally.texts, tally.failed = len(done.texts), done.failed
        while chunk := tuple(islice(texts, CHUNK)):
            outcome = await self._embed(chunk)
            for place, text in enumerate(chunk):
                found = (
                    {"error": outcome.errors[place]}
                    if place in outcome.errors
                    else {"embedding": outcome.vectors[place]}
                )
                write(records.record(tally.texts + place, outcome.model, text, found))
            tally.texts += len(chunk)
            tally.failed += len(outcome.errors)
            advance(len(chunk))
        return tally

    async def _embed(self, chunk: tuple[str, ...]) -> _Chunk:
        try:
            result = await self._embedder.embed(replace(self._template, texts=chunk))
        except ItemsError as error:
            if error.partial is None:
                raise
            errors = {item.index: item.reason for item in error.items if item.index is not None}
            return _Chunk(error.partial.model, self._numbered(error.partial.indices, error.partial.vectors), errors)
        self.tally.input_tokens += result.usage.input_tokens
        return _Chunk(result.model, self._numbered(tuple(range(len(chunk))), result.vectors), {})

    def _numbered(self, indices: tuple[int, ...], vectors: Vectors) -> dict[int, Any]:
        return dict(zip(indices, self._written(vectors), strict=True))
