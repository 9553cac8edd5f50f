"""The shipped default against a real Ollama: `ollama pull nomic-embed-text`, then OLLAMA_URL=… make live-ollama."""

from __future__ import annotations

import os

import numpy as np
import pytest

from embeddings_mcp import EmbedRequest, RankRequest, default_path, load_config, open_embedder
from embeddings_mcp.errors import ItemsTooLongError
from tests.live.embeddings.corpus import labelled

pytestmark = [pytest.mark.anyio, pytest.mark.live_ollama]


@pytest.fixture
def environ() -> dict[str, str]:
    if not os.environ.get("OLLAMA_URL"):
        pytest.fail(
            "OLLAMA_URL is not set. Start Ollama, run `ollama pull nomic-embed-text`, and set it.", pytrace=False
        )
    return dict(os.environ)


async def test_many_texts_are_in_order_and_near_those_made_alone(environ: dict[str, str]) -> None:
    texts = tuple(pair.document for pair in labelled())
    async with open_embedder(load_config(default_path({}), environ)) as embedder:
        result = await embedder.embed(EmbedRequest(texts=texts))
        assert result.vectors.shape == (len(texts), 768)
        for index in (0, 31, 65):
            alone = await embedder.embed(EmbedRequest(texts=(texts[index],)))
            assert int((result.vectors @ alone.vectors[0]).argmax()) == index
        short = await embedder.embed(EmbedRequest(texts=texts[:2], dimensions=256))
        assert np.allclose(np.linalg.norm(short.vectors, axis=1), 1, atol=1e-5)


async def test_a_text_that_is_too_long_is_named_and_cut_only_on_demand(environ: dict[str, str]) -> None:
    texts = ("a river", "incomprehensibilities " * 1900, "a lake")
    async with open_embedder(load_config(default_path({}), environ)) as embedder:
        with pytest.raises(ItemsTooLongError) as caught:
            await embedder.embed(EmbedRequest(texts=texts))
        assert [item.index for item in caught.value.items] == [1]
        result = await embedder.embed(EmbedRequest(texts=texts, truncate=True))
    assert result.truncated == (1,)


async def test_the_right_topic_comes_first(environ: dict[str, str]) -> None:
    pairs = labelled()
    documents = tuple(pair.document for pair in pairs)
    async with open_embedder(load_config(default_path({}), environ)) as embedder:
        for pair in pairs[::6]:
            ranked = await embedder.rank(RankRequest(query=pair.query, texts=documents, top_k=1))
            assert pairs[ranked.results[0].index].topic == pair.topic
