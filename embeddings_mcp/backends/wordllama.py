"""Static word vectors in this process: `wordllama`, whose weights and tokenizer are inside its wheel.

It is loaded at the first text, in a worker thread, for its import alone takes longer than a server may take to
start. Of the library only the tokenizer and the table of vectors are used: its own pooling pads every text to the
longest of its batch, so that one long text costs gigabytes. The mean over a text's own tokens is the same number,
bit for bit, in half the time (benchmarks/embeddings.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import anyio.to_thread
import numpy as np

from embeddings_mcp.domain import Answer, Batch, Vectors
from embeddings_mcp.errors import NotInstalledError, TextTooLongError
from router_mcp.domain import Endpoint, Probe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "wordllama"
INSTALL = f"The package {PACKAGE} is not installed, or incomplete. Install it: pip install 'router-mcp[embedded]'."


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokenizer: Tokenizer
    table: Vectors
    """One row a token of the vocabulary."""


class WordLlamaBackend:
    """The one model of the wordllama package (256 dimensions), at most `concurrency` batches at once."""

    cuts_silently: ClassVar[bool] = False

    def __init__(self, *, concurrency: int) -> None:
        self._threads = anyio.CapacityLimiter(concurrency)
        self._loading = anyio.Lock()
        self._loaded: _Loaded | None = None

    async def embed(self, batch: Batch) -> Answer:
        """Embed one batch; see `Backend.embed`. The tokens counted are exact."""
        loaded = await self._load()
        return await anyio.to_thread.run_sync(_embed, loaded, batch, limiter=self._threads)

    async def _load(self) -> _Loaded:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await anyio.to_thread.run_sync(_load, limiter=self._threads)
        return self._loaded

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Tell whether the package is there, without importing it."""
        if importlib.util.find_spec(PACKAGE) is None:
            raise NotInstalledError(INSTALL)
        return Probe()

    async def aclose(self) -> None:
        """Forget the weights."""
        self._loaded = None


def _load() -> _Loaded:
    with _untouched_root_logger():
        try:
            package: Any = importlib.import_module(PACKAGE)
            # Its tokenizer is looked for in a folder that the wheel lacks, then downloaded: name the right folder.
            model = package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)
        except (ImportError, OSError) as error:
            raise NotInstalledError(INSTALL) from error
    model.tokenizer.no_padding()
    return _Loaded(model.tokenizer, model.embedding)


@contextmanager
def _untouched_root_logger() -> Generator[None]:
    """Undo the `logging.basicConfig` that the package calls when it is imported."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _embed(loaded: _Loaded, batch: Batch) -> Answer:
    tokens = [encoding.ids for encoding in loaded.tokenizer.encode_batch_fast(batch.texts, add_special_tokens=False)]
    limit = batch.max_input_tokens
    long = {position: len(ids) for position, ids in enumerate(tokens) if len(ids) > limit}
    if long and not batch.truncate:
        raise TextTooLongError(
            f"A text is longer than the {limit} tokens that are allowed. Shorten it.", tokens={**long}
        )
    out = np.empty((len(tokens), loaded.table.shape[1]), dtype=np.float32)
    for row, ids in zip(out, tokens, strict=True):
        row[:] = loaded.table[ids[:limit]].mean(axis=0) if ids else 0.0
    counted = sum(min(len(ids), limit) for ids in tokens)
    return Answer(vectors=out, input_tokens=counted)
