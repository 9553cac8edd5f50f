"""Vectors from llama.cpp in a child process. SmolLM2 is no embedding model, but its vectors will do for a test."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import numpy as np
import pytest

from embeddings_mcp import EmbedRequest, Prober, open_embedder
from embeddings_mcp.config import EmbeddingsFile
from embeddings_mcp.errors import ItemsTooLongError
from router_mcp.errors import NoRuntimeError
from router_mcp.runtimes.weights import ensure_weights

pytestmark = pytest.mark.anyio

LIMIT = 256
PROC = Path("/proc/self/task")


def config(gguf: str, **changes: str) -> EmbeddingsFile:
    model = {"backend": "llama", "dimensions": 576, "max_input_tokens": LIMIT, "batch_size": 8, "batch_tokens": 256}
    return EmbeddingsFile.model_validate(
        {
            "version": 1,
            "backends": {"llama": {"kind": "gguf", "gguf": gguf, **changes}},
            "models": {"smol": model},
            "defaults": {"model": "smol"},
        }
    )


@pytest.fixture(scope="module")
def smol() -> EmbeddingsFile:
    return config(str(ensure_weights()), pooling="mean")


def children() -> set[int]:
    """List the processes that this one has started and that still live, where the system says it."""
    if not PROC.is_dir():
        return set()
    return {int(pid) for task in PROC.iterdir() for pid in (task / "children").read_text().split()}


async def test_texts_become_vectors_in_order_and_alike_alone_and_together(smol: EmbeddingsFile) -> None:
    texts = tuple(f"sentence number {index} about rivers" for index in range(20))
    before = children()
    async with open_embedder(smol) as embedder:
        await Prober(embedder).probe_all()
        assert embedder.cards()[0].state == "healthy"
        assert children() == before  # a probe starts nothing
        result = await embedder.embed(EmbedRequest(texts=texts))
        assert result.vectors.shape == (20, 576)
        assert result.usage.input_tokens > 20
        alone = await embedder.embed(EmbedRequest(texts=texts[7:8]))
        # llama.cpp's sums depend a little on what is computed beside a text, so it is near, and nearest to itself.
        assert int((result.vectors @ alone.vectors[0]).argmax()) == 7
        assert float(result.vectors[7] @ alone.vectors[0]) > 0.999
        await Prober(embedder).probe_all()
    assert children() == before


async def test_a_text_that_is_too_long_is_named_and_can_be_cut(smol: EmbeddingsFile) -> None:
    texts = ("a river", "incomprehensibilities " * 200, "a lake")
    async with open_embedder(smol) as embedder:
        with pytest.raises(ItemsTooLongError) as caught:
            await embedder.embed(EmbedRequest(texts=texts))
        assert [item.index for item in caught.value.items] == [1]
        assert (caught.value.items[0].tokens or 0) > LIMIT
        result = await embedder.embed(EmbedRequest(texts=texts, truncate=True))
    assert result.truncated == (1,)
    assert np.isfinite(result.vectors).all()


@pytest.mark.skipif(not PROC.is_dir(), reason="the child is found through /proc")
async def test_a_child_that_dies_is_started_again(smol: EmbeddingsFile) -> None:
    before = children()
    async with open_embedder(smol) as embedder:
        await embedder.embed(EmbedRequest(texts=("a river",)))
        (child,) = children() - before
        os.kill(child, signal.SIGKILL)
        await anyio.sleep(0.2)
        with suppress(NoRuntimeError):  # this call may meet the dying child; the next one must not
            await embedder.embed(EmbedRequest(texts=("a river",)))
        await embedder.embed(EmbedRequest(texts=("a river",)))
        assert children() - before != {child}


async def test_a_model_that_makes_no_vectors_is_said_to_be_none() -> None:
    async with open_embedder(config(str(ensure_weights()))) as embedder:
        with pytest.raises(NoRuntimeError) as caught:
            await embedder.embed(EmbedRequest(texts=("a",)))
    assert "is not an embedding model" in str(caught.value)


async def test_without_the_package_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, smol: EmbeddingsFile
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    async with open_embedder(smol) as embedder:
        with pytest.raises(NoRuntimeError) as caught:
            await embedder.embed(EmbedRequest(texts=("a",)))
    assert "pip install 'router-mcp[embedded]'" in str(caught.value)


async def test_a_path_that_leads_nowhere_is_said() -> None:
    async with open_embedder(config("/no/such/model.gguf")) as embedder:
        await Prober(embedder).probe_all()
        assert embedder.cards()[0].state == "unhealthy"
        with pytest.raises(NoRuntimeError) as caught:
            await embedder.embed(EmbedRequest(texts=("a",)))
    assert "There is no GGUF file model.gguf" in str(caught.value)
    assert "needs no server" not in str(caught.value)
