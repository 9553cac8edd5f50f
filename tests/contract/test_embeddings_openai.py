"""`/v1/embeddings`: Ollama's recorded traffic, and refusals of TEI, vLLM and llama.cpp as their sources have them."""

from __future__ import annotations

import json
import math
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from anyio.abc import SocketStream

from embeddings_mcp.backends.openai import OpenAIBackend
from embeddings_mcp.config import EmbeddingsFile
from embeddings_mcp.domain import Batch, EmbedRequest
from embeddings_mcp.errors import (
    BadVectorError,
    ItemsTooLongError,
    PayloadTooLargeError,
    TextTooLongError,
    WrongShapeError,
)
from embeddings_mcp.vectors import to_base64
from embeddings_mcp.wiring import Outside, open_embedder
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ModelMissingError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnauthorizedError,
    UnreachableError,
)
from router_mcp.runtimes.wire import make_client, make_transport
from tests.contract.embeddings_traffic import Answer, Server, load, recorded, refused, said
from tests.contract.sockets import serving

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint(runtime="tei", url="http://127.0.0.1:8080/v1")


def batch(*texts: str, truncate: bool = False, limit: int = 512, endpoint: Endpoint = ENDPOINT) -> Batch:
    return Batch(
        endpoint=endpoint,
        model="all-minilm:22m",
        texts=texts or ("hello",),
        max_input_tokens=limit,
        truncate=truncate,
        request_id="r-1",
    )


def backend(*turns: Answer, **options: Any) -> tuple[OpenAIBackend, Server]:
    server = Server(list(turns))
    return OpenAIBackend([ENDPOINT], client=make_client(server, connect_s=2), **options), server


def vectors(*rows: tuple[int, Any], tokens: int = 3) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in rows]
    return said(200, {"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


async def failure(answer: Answer, *texts: str) -> AttemptError:
    sut, _ = backend(answer)
    with pytest.raises(AttemptError) as caught:
        await sut.embed(batch(*(texts or ("one", "two"))))
    return caught.value


async def test_a_recorded_batch_comes_back_in_order() -> None:
    recording = load("074b_v1_embeddings_list")
    sut, server = backend(recorded("074b_v1_embeddings_list"), api_key="secret")
    answer = await sut.embed(batch("a", "b"))
    assert server.sent() == {"model": "all-minilm:22m", "input": ["a", "b"], "encoding_format": "base64"}
    assert server.paths == ["POST /v1/embeddings"]
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    given = json.loads(recording.body)
    assert np.array_equal(answer.vectors, np.array([each["embedding"] for each in given["data"]], dtype=np.float32))
    assert answer.input_tokens == 6


async def test_recorded_base64_is_read() -> None:
    recording = load("074c_v1_embeddings_base64")
    sut, _ = backend(recorded("074c_v1_embeddings_base64"))
    answer = await sut.embed(batch("hello"))
    assert to_base64(answer.vectors) == [json.loads(recording.body)["data"][0]["embedding"]]
    assert answer.vectors.shape == (1, 384)


async def test_vectors_are_put_in_the_order_of_their_own_indices() -> None:
    sut, _ = backend(vectors((2, [3.0]), (0, [1.0]), (1, [2.0])))
    assert (await sut.embed(batch("a", "b", "c"))).vectors.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    "answer",
    [
        vectors((0, [1.0])),
        vectors((0, [1.0]), (1, [1.0]), (2, [1.0])),
        vectors((0, [1.0]), (0, [1.0])),
        vectors((1, [1.0]), (2, [1.0])),
        vectors(),
    ],
)
async def test_missing_doubled_and_misnumbered_vectors_are_refused(answer: Answer) -> None:
    assert type(await failure(answer)) is WrongShapeError


async def test_null_in_a_vector_is_nan_for_the_check_that_follows() -> None:
    sut, _ = backend(vectors((0, [1.0, None])))
    assert math.isnan((await sut.embed(batch())).vectors[0][1])


async def test_a_lone_text_that_used_every_token_may_have_been_cut_and_is_refused() -> None:
    sut, _ = backend(recorded("074f_v1_embeddings_too_long"))
    with pytest.raises(TextTooLongError) as caught:
        await sut.embed(batch("word " * 3000))
    assert caught.value.tokens == {0: 512}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("074d_v1_embeddings_empty", RejectedError),
        ("074h_v1_embeddings_unknown", ModelMissingError),
        ("074i_v1_embeddings_int_tokens", RejectedError),
    ],
)
async def test_every_recorded_refusal_has_its_meaning(name: str, kind: type[AttemptError]) -> None:
    assert type(await failure(recorded(name))) is kind


TEI_TOO_LONG = {"message": "`inputs` must have less than 512 tokens. Given: 601", "code": 413, "type": "Validation"}
TEI_TOO_MANY = {"message": "batch size 64 > maximum allowed batch size 32", "code": 422, "type": "Validation"}
VLLM_TOO_LONG = {"error": {"message": "This model's maximum context length is 512 tokens.", "type": "BadRequestError"}}
LLAMA_TOO_LONG = {"error": {"code": 400, "type": "exceed_context_size_error", "message": "", "n_prompt_tokens": 601}}
LLAMA_BATCH = {
    "error": {"code": 500, "message": "input (601 tokens) is too large to process. increase the physical batch size"}
}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(413, TEI_TOO_LONG), TextTooLongError),
        (said(413, TEI_TOO_MANY), PayloadTooLargeError),
        (said(422, TEI_TOO_MANY), PayloadTooLargeError),
        (said(413, {}), PayloadTooLargeError),
        (said(424, {"error": "x", "error_type": "Backend"}), ServerFailedError),
        (said(429, {"error": "Model is overloaded", "error_type": "Overloaded"}), OverloadedError),
        (said(503, {"error": "x", "error_type": "Unhealthy"}), ServerFailedError),
        (said(400, VLLM_TOO_LONG), TextTooLongError),
        (said(400, LLAMA_TOO_LONG), TextTooLongError),
        (said(500, LLAMA_BATCH), TextTooLongError),
        (said(500, {"error": "NaN in output"}), BadVectorError),
        (said(501, {"error": {"message": "This server does not support embeddings."}}), ModelMissingError),
        (said(404, {"detail": "Not Found"}), ServerFailedError),
        (said(401, {"error": "Unauthorized"}), UnauthorizedError),
        (said(400, {"error": {"message": "dimensions is not supported"}}), RejectedError),
        (Answer(500, b"\xff\xfe"), ServerFailedError),
        (Answer(200, b"{}"), BrokenStreamError),
        (Answer(200, b"<html>"), BrokenStreamError),
        (vectors((0, "not base64!"), (1, [1.0])), BrokenStreamError),
        (vectors((0, [1.0, 2.0]), (1, [1.0])), BrokenStreamError),
        (refused(httpx.ConnectError("no")), UnreachableError),
    ],
)
async def test_everything_that_can_go_wrong_is_an_attempt_error(answer: Answer, kind: type[AttemptError]) -> None:
    assert type(await failure(answer)) is kind


async def test_a_lone_text_that_is_too_long_is_told_with_its_tokens_where_the_server_counts() -> None:
    error = await failure(said(400, LLAMA_TOO_LONG), "word")
    assert isinstance(error, TextTooLongError)
    assert error.tokens == {0: 601}


async def test_a_text_is_cut_here_until_the_server_takes_it() -> None:
    refusals = [said(413, TEI_TOO_LONG)] * 3
    sut, server = backend(*refusals, vectors((0, [1.0]), tokens=400))
    answer = await sut.embed(batch("word " * 3000, truncate=True, limit=100))
    sent = [len(server.sent(index)["input"][0]) for index in range(4)]
    assert sent == [400, 300, 225, 168]
    assert answer.input_tokens == 400


async def test_a_text_that_is_never_short_enough_is_given_up() -> None:
    sut, server = backend(said(413, TEI_TOO_LONG))
    with pytest.raises(TextTooLongError):
        await sut.embed(batch("word " * 3000, truncate=True))
    assert len(server.requests) == 10


@pytest.mark.parametrize("status", [200, 404, 405])
async def test_a_server_that_answers_is_reachable_whatever_models_it_lists(status: int) -> None:
    sut, server = backend(said(status, {"data": [{"id": "/data/some-other-name.gguf"}]}))
    assert await sut.probe(ENDPOINT) == Probe()
    assert server.paths == ["GET /v1/models"]


async def test_a_server_that_is_unwell_fails_its_probe() -> None:
    sut, _ = backend(said(503, {}))
    with pytest.raises(ServerFailedError):
        await sut.probe(ENDPOINT)


async def test_closing_closes_the_connections() -> None:
    sut, server = backend()
    await sut.aclose()
    assert server.closed == 1


def one_model(**changes: Any) -> EmbeddingsFile:
    model = {"backend": "tei", "dimensions": 384, "max_input_tokens": 512, **changes}
    return EmbeddingsFile.model_validate(
        {
            "version": 1,
            "backends": {"tei": {"kind": "openai", "endpoints": [ENDPOINT.url]}},
            "models": {"m": model},
            "defaults": {"model": "m"},
        }
    )


async def test_a_cut_that_nobody_mentioned_is_found_by_the_whole_call() -> None:
    # 600 words in few letters: too few characters to be surely too long, too many to be surely short enough.
    server = Server([recorded("074f_v1_embeddings_too_long")])
    outside = Outside(environ={}, make_transport=lambda _: server)
    async with open_embedder(one_model(), outside=outside) as embedder:
        with pytest.raises(ItemsTooLongError) as caught:
            await embedder.embed(EmbedRequest(texts=("incomprehensibilities " * 400,)))
        assert caught.value.items[0].tokens == 512
        result = await embedder.embed(EmbedRequest(texts=("incomprehensibilities " * 400,), truncate=True))
        assert result.truncated == (0,)


async def test_a_real_connection_that_is_refused_or_broken_is_told_apart() -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.send(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"data"')

    async def attempt(url: str) -> AttemptError:
        endpoint = Endpoint(runtime="tei", url=url)
        sut = OpenAIBackend([endpoint], client=make_client(make_transport(connect_s=2), connect_s=2))
        try:
            with pytest.raises(AttemptError) as caught:
                await sut.embed(batch(endpoint=endpoint))
        finally:
            await sut.aclose()
        return caught.value

    async with serving(cut) as url:
        assert type(await attempt(url)) is BrokenStreamError
    assert type(await attempt(url)) is UnreachableError


async def test_a_call_that_is_given_up_closes_its_connection() -> None:
    closed = anyio.Event()

    async def hold(stream: SocketStream) -> None:
        try:
            await stream.receive()
        except anyio.EndOfStream:
            closed.set()

    async with serving(hold) as url:
        endpoint = Endpoint(runtime="tei", url=url)
        sut = OpenAIBackend([endpoint], client=make_client(make_transport(connect_s=2), connect_s=2))
        with anyio.move_on_after(0.2):
            await sut.embed(batch(endpoint=endpoint))
        with anyio.fail_after(5):
            await closed.wait()
        await sut.aclose()
