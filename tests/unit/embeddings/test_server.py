"""The tools as a client sees them, in both eras of the protocol."""

from __future__ import annotations

import base64
import struct
from typing import Any

import anyio
import jsonschema
import numpy as np
import pytest
from mcp import Client
from mcp.types import CallToolResult

from embeddings_mcp.edge.server import build_server
from router_mcp.edge.schemas import flaws
from router_mcp.errors import UnreachableError
from tests.unit.embeddings.fakes import FakeBackend, SilentCutter, World, expected, failing, file, slow, world

pytestmark = pytest.mark.anyio

TOOLS = ["embed_texts", "rank_texts", "list_embedding_models"]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


async def call(sut: World, mode: Any, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    async with Client(build_server(sut.embedder), mode=mode, raise_exceptions=True) as client:
        return await client.call_tool(tool, arguments)


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


def content(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def error(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    assert result.structured_content is None
    assert result.meta is not None
    about: dict[str, Any] = result.meta["embeddings-mcp/error"]
    return about


async def test_the_server_has_three_read_only_tools_with_flat_strict_schemas(mode: Any) -> None:
    sut = world()
    async with Client(build_server(sut.embedder), mode=mode) as client:
        listed = (await client.list_tools()).tools
        assert client.server_info is not None
        assert client.server_info.name == "embeddings"
        assert "rank_texts" in (client.instructions or "")
    assert [tool.name for tool in listed] == TOOLS
    for tool in listed:
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.annotations.idempotent_hint
        assert tool.input_schema["additionalProperties"] is False
        assert flaws(tool.input_schema, unions=False) == []
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert all("description" in argument for argument in tool.input_schema["properties"].values())
    assert listed[0].input_schema["properties"]["model"]["enum"] == ["first", "second", "other"]
    assert listed[0].input_schema["properties"]["model"]["default"] == "first"
    assert listed[0].input_schema["required"] == ["texts"]


async def test_embedding_returns_vectors_in_order_and_a_text_without_their_numbers(mode: Any) -> None:
    sut = world()
    result = await call(sut, mode, "embed_texts", {"texts": ["a", "b", "a"]})
    found = content(result)
    assert (found["model"], found["dimensions"], found["count"]) == ("first", 4, 3)
    assert found["usage"] == {"input_tokens": 8}
    assert np.allclose(found["embeddings"], expected("D: a", "D: b", "D: a"))
    assert text(result) == "3 vectors of 4 dimensions from first (8 tokens), in structuredContent."
    assert "truncated" not in found
    assert "fallback_from" not in found


async def test_base64_is_the_same_numbers_as_little_endian_float32(mode: Any) -> None:
    found = content(await call(world(), mode, "embed_texts", {"texts": ["a"], "encoding": "base64"}))
    (encoded,) = found["embeddings"]
    assert np.allclose(struct.unpack("<4f", base64.b64decode(encoded)), expected("D: a")[0])
    assert found["encoding"] == "base64"


async def test_kind_of_input_and_dimensions_reach_the_embedder(mode: Any) -> None:
    sut = world()
    found = content(
        await call(sut, mode, "embed_texts", {"texts": ["a"], "input_type": "query", "dimensions": 2, "tenant": "t"})
    )
    assert (found["dimensions"], len(found["embeddings"][0])) == (2, 2)
    assert sut.a.texts == ["Q: a"]


async def test_texts_that_look_like_json_are_texts(mode: Any) -> None:
    sut = world()
    await call(sut, mode, "embed_texts", {"texts": ['{"a": 1}', "null", "[1]"]})
    assert sorted(sut.a.texts) == ["D: [1]", "D: null", 'D: {"a": 1}']


async def test_a_ranking_has_the_same_facts_in_text_and_structure(mode: Any) -> None:
    result = await call(world(), mode, "rank_texts", {"query": "a", "texts": ["b", "a", "c"], "top_k": 2})
    found = content(result)
    assert found["count"] == 3
    assert len(found["results"]) == 2
    scores = [each["score"] for each in found["results"]]
    assert scores == sorted(scores, reverse=True)
    for place, each in enumerate(found["results"], 1):
        assert f"{place}. index {each['index']}, score {each['score']:.4f}" in text(result)


async def test_a_long_ranking_is_whole_in_the_structure_and_short_in_the_text(mode: Any) -> None:
    result = await call(world(), mode, "rank_texts", {"query": "a", "texts": [f"t{n}" for n in range(150)]})
    assert len(content(result)["results"]) == 150
    assert text(result).endswith("… and 50 more in structuredContent.")


async def test_models_are_listed_with_their_limits_and_state(mode: Any) -> None:
    result = await call(world(), mode, "list_embedding_models", {})
    first, _, other = content(result)["models"]
    assert (first["name"], first["default"], first["space"]) == ("first", True, "s")
    assert (first["allowed_dimensions"], first["fallbacks"], first["state"]) == ([4, 2], ["second"], "unknown")
    assert (other["backend"], other["max_input_tokens"]) == ("c", 100)
    assert (
        text(result).splitlines()[0].startswith("first (default): unknown, 4/2 dimensions, 100 tokens a text, space s")
    )


async def test_results_satisfy_the_schemas_that_are_published(mode: Any) -> None:
    calls = {
        "embed_texts": {"texts": ["a"], "encoding": "base64"},
        "rank_texts": {"query": "a", "texts": ["b"]},
        "list_embedding_models": {},
    }
    async with Client(build_server(world().embedder), mode=mode) as client:
        for tool in (await client.list_tools()).tools:
            result = await client.call_tool(tool.name, calls[tool.name])
            jsonschema.validate(content(result), tool.output_schema or False)


async def test_the_receipt_is_in_the_meta(mode: Any) -> None:
    result = await call(world(), mode, "embed_texts", {"texts": ["a"]})
    assert result.meta is not None
    route = result.meta["embeddings-mcp/route"]
    assert route["request_id"] == "id"
    assert [(each["model"], each["runtime"], each["outcome"]) for each in route["attempts"]] == [("first", "a", "ok")]


async def test_a_fallback_is_said_in_text_and_structure(mode: Any) -> None:
    sut = world(a=FakeBackend(failing(UnreachableError("a is down."))))
    result = await call(sut, mode, "embed_texts", {"texts": ["a"]})
    assert content(result)["fallback_from"] == ["first"]
    assert "first could not serve." in text(result)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("embed_texts", {"texts": []}, "texts: must have at least 1 item"),
        ("embed_texts", {"texts": ["a"] * 2049}, "at most 2048 item"),
        ("embed_texts", {"texts": "a"}, "texts: must be a valid list"),
        ("embed_texts", {"texts": ["a", 5]}, "texts.1: must be a valid string"),
        ("embed_texts", {"texts": ["a", ""]}, "texts[1] is empty"),
        ("embed_texts", {"texts": ["a"], "modle": "first"}, "did you mean 'model'?"),
        ("embed_texts", {"texts": ["a"], "model": "nope"}, "There is no embedding model 'nope'"),
        ("embed_texts", {"texts": ["a"], "dimensions": 3}, "first was not trained for 3 dimensions"),
        ("embed_texts", {"texts": ["a"], "encoding": "hex"}, "encoding: must be 'float' or 'base64'"),
        ("rank_texts", {"texts": ["a"]}, "query: this argument is required"),
        ("rank_texts", {"query": "a", "texts": ["a"], "top_k": 0}, "top_k: must be greater than or equal to 1"),
        ("list_embedding_models", {"all": True}, "all: unknown argument"),
    ],
)
async def test_bad_arguments_are_refused_in_words(mode: Any, tool: str, arguments: dict[str, Any], says: str) -> None:
    result = await call(world(), mode, tool, arguments)
    about = error(result)
    assert (about["code"], about["retryable"]) == ("invalid_arguments", False)
    assert says in text(result)


async def test_a_text_that_is_too_long_is_named_for_people_and_machines(mode: Any) -> None:
    result = await call(world(), mode, "embed_texts", {"texts": ["a", "one two " * 100]})
    about = error(result)
    assert about["code"] == "context_too_long"
    assert about["items"] == [{"index": 1, "reason": "800 characters, 200 tokens or more"}]
    assert "texts[1]" in text(result)
    ranking = await call(world(), mode, "rank_texts", {"query": "one two " * 100, "texts": ["a"]})
    assert error(ranking)["items"][0]["index"] is None


async def test_cut_texts_are_reported_in_text_and_structure(mode: Any) -> None:
    long = "one two " * 100
    result = await call(world(), mode, "embed_texts", {"texts": ["a", long], "truncate": True})
    assert content(result)["truncated"] == [1]
    assert "Cut to the model's limit: text 1." in text(result)
    ranking = await call(world(), mode, "rank_texts", {"query": long, "texts": [long, "a"], "truncate": True})
    assert (content(ranking)["truncated"], content(ranking)["query_truncated"]) == ([0], True)
    assert "The query was cut" in text(ranking)


async def test_a_backend_that_is_down_is_an_error_that_says_what_to_do(mode: Any) -> None:
    down = FakeBackend(failing(UnreachableError("It cannot be reached. Start it.")))
    result = await call(world(a=down, b=SilentCutter(down.reply)), mode, "embed_texts", {"texts": ["a"]})
    about = error(result)
    assert (about["code"], about["retryable"]) == ("backend_unavailable", True)
    assert "Start it." in text(result)
    assert result.meta is not None
    assert len(result.meta["embeddings-mcp/route"]["attempts"]) == 3


async def test_a_caller_that_waits_hears_how_many_texts_are_done(mode: Any) -> None:
    sut = world(file(models__first__batch_size=1), a=FakeBackend(slow(3)))
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with Client(build_server(sut.embedder), mode=mode) as client:
        arguments = {"texts": [f"t{n}" for n in range(12)]}
        await client.call_tool("embed_texts", arguments, progress_callback=hear)
    assert heard[0][1] == "0 of 12 texts"
    done = [int((message or "").split()[0]) for _, message in heard]
    assert done == sorted(done)
    assert 8 <= done[-1] <= 12  # the report of the last texts may lose the race against the result
    assert [value for value, _ in heard] == sorted(value for value, _ in heard)


async def test_a_caller_that_leaves_stops_the_work(mode: Any) -> None:
    sut = world(a=FakeBackend(slow(50)))
    async with Client(build_server(sut.embedder), mode=mode) as client:
        with anyio.move_on_after(5):
            await client.call_tool("embed_texts", {"texts": ["a"]})
        await anyio.sleep(1)
        assert sut.a.running == 0
