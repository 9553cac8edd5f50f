"""The embedded model, run for real: its numbers, its limits, its manners."""

from __future__ import annotations

import gc
import importlib
import logging
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from embeddings_mcp import EmbedRequest, RankRequest, embedded_path, load_config, open_embedder
from embeddings_mcp.errors import ItemsTooLongError
from tests.live.embeddings.corpus import labelled, long_texts

pytestmark = pytest.mark.anyio

CONFIG = load_config(embedded_path(), {})


def library() -> Any:
    package: Any = importlib.import_module("wordllama")
    return package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)


async def test_vectors_are_those_of_the_library() -> None:
    texts = (*(pair.document for pair in labelled()), "naïve café", "数学", "😀", "a")
    async with open_embedder(CONFIG) as embedder:
        result = await embedder.embed(EmbedRequest(texts=texts))
    theirs = library().embed(list(texts), norm=True)
    assert np.abs(result.vectors - theirs).max() < 1e-6
    assert result.usage.input_tokens == sum(len(ids.ids) for ids in _tokens(texts))


def _tokens(texts: tuple[str, ...]) -> list[Any]:
    tokenizer = library().tokenizer
    tokenizer.no_padding()
    return list(tokenizer.encode_batch(list(texts), add_special_tokens=False))


async def test_2048_texts_of_200_words_come_back_in_order_and_equal_to_one_by_one() -> None:
    texts = long_texts(2048)
    async with open_embedder(CONFIG) as embedder:
        result = await embedder.embed(EmbedRequest(texts=texts))
        assert result.vectors.shape == (2048, 256)
        for index in range(0, 2048, 31):
            alone = await embedder.embed(EmbedRequest(texts=(texts[index],)))
            assert np.abs(result.vectors[index] - alone.vectors[0]).max() < 1e-6
    # Every vector is nearest to its own text's, so none stands in another's place.
    theirs = library().embed(list(texts), norm=True)
    assert np.array_equal((result.vectors @ theirs.T).argmax(axis=1), np.arange(2048))


async def test_the_right_topic_comes_first_in_nine_of_ten_questions() -> None:
    pairs = labelled()
    assert len(pairs) >= 60
    assert len({pair.topic for pair in pairs}) == 6
    documents = tuple(pair.document for pair in pairs)
    async with open_embedder(CONFIG) as embedder:
        firsts = [
            (await embedder.rank(RankRequest(query=pair.query, texts=documents, top_k=1))).results[0].index
            for pair in pairs
        ]
    right = [pair.topic == pairs[first].topic for pair, first in zip(pairs, firsts, strict=True)]
    assert sum(right) / len(right) >= 0.9


@pytest.mark.parametrize("dimensions", [128, 64])
async def test_shorter_vectors_are_those_of_the_model_that_was_trained_for_them(dimensions: int) -> None:
    texts = tuple(pair.document for pair in labelled()[:8])
    async with open_embedder(CONFIG) as embedder:
        result = await embedder.embed(EmbedRequest(texts=texts, dimensions=dimensions))
    package: Any = importlib.import_module("wordllama")
    short = package.WordLlama.load(cache_dir=Path(package.__file__).parent, trunc_dim=dimensions, disable_download=True)
    assert np.abs(result.vectors - short.embed(list(texts), norm=True)).max() < 1e-6


async def test_one_long_text_does_not_make_its_neighbours_long() -> None:
    texts = ("word " * 8000, *(f"short text {index}" for index in range(255)))
    async with open_embedder(CONFIG) as embedder:
        await embedder.embed(EmbedRequest(texts=("warm up",)))
        gc.collect()
        tracemalloc.start()
        try:
            await embedder.embed(EmbedRequest(texts=texts))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 64 * 2**20  # padded to the longest, as the library does, it would be 4 GiB


async def test_a_text_that_is_too_long_is_named_with_its_tokens_and_cut_on_demand() -> None:
    long = "extraordinarily " * 4000  # the estimate, a token a word, lets it pass; the tokenizer does not
    (tokens,) = (len(ids.ids) for ids in _tokens((long,)))
    async with open_embedder(CONFIG) as embedder:
        with pytest.raises(ItemsTooLongError) as caught:
            await embedder.embed(EmbedRequest(texts=("a", long, "b")))
        assert [(item.index, item.tokens) for item in caught.value.items] == [(1, tokens)]
        result = await embedder.embed(EmbedRequest(texts=("a", long, "b"), truncate=True))
    assert result.truncated == (1,)
    assert result.usage.input_tokens < tokens


async def test_the_event_loop_runs_on_while_texts_are_embedded() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.001)
            ticks += 1

    async with open_embedder(CONFIG) as embedder, anyio.create_task_group() as group:
        group.start_soon(tick)
        await embedder.embed(EmbedRequest(texts=long_texts(1024)))
        group.cancel_scope.cancel()
    assert ticks > 5


async def test_the_root_logger_is_left_as_it_was() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    async with open_embedder(CONFIG) as embedder:
        await embedder.embed(EmbedRequest(texts=("a",)))
    assert (list(root.handlers), root.level) == before


FRESH = """
import logging, sys
import anyio
from embeddings_mcp import EmbedRequest, Prober, embedded_path, load_config, open_embedder
{before}
async def main():
    async with open_embedder(load_config(embedded_path())) as embedder:
        await Prober(embedder).probe_all()
        print(embedder.cards()[0].state, "wordllama" in sys.modules)
        try:
            print((await embedder.embed(EmbedRequest(texts=("a",)))).vectors.shape)
        except Exception as error:
            print(error)
        print(logging.getLogger().handlers, "mcp" in sys.modules)
anyio.run(main)
"""


def in_a_fresh_process(before: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(before=before)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_nothing_is_loaded_before_the_first_text_and_the_library_leaves_logging_alone() -> None:
    assert in_a_fresh_process() == ["healthy False", "(1, 256)", "[] False"]


def test_the_core_works_where_mcp_cannot_be_imported() -> None:
    assert in_a_fresh_process("sys.modules['mcp'] = None")[1] == "(1, 256)"


def test_without_the_package_the_error_says_how_to_install_it() -> None:
    state, said, _ = in_a_fresh_process("sys.modules['wordllama'] = None")
    assert state.startswith("unhealthy")
    assert "pip install 'router-mcp[embedded]'" in said
