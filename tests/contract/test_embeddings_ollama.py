"""Ollama's recorded `/api/embed` traffic, played back: what we send, what we make of every answer it gave."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import numpy as np
import pytest

from embeddings_mcp.backends.ollama import OllamaBackend
from embeddings_mcp.config import EmbeddingsFile, default_path, load_config
from embeddings_mcp.domain import Batch, EmbedRequest
from embeddings_mcp.errors import BadVectorError, ItemsTooLongError, PayloadTooLargeError, TextTooLongError
from embeddings_mcp.wiring import Outside, open_embedder
from router_mcp.domain import Endpoint
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ModelMissingError,
    NoRuntimeError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    StalledError,
    UnauthorizedError,
    UnreachableError,
)
from tests.contract.embeddings_traffic import Answer, Server, load, recorded, refused, said

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint(runtime="ollama", url="http://127.0.0.1:11434")
LIMIT = 512
LLAMA_TOO_LARGE = '{"error":{"code":500,"message":"input is too large to process","type":"server_error"}}'


def batch(*texts: str, truncate: bool = False) -> Batch:
    return Batch(
        endpoint=ENDPOINT,
        model="all-minilm:22m",
        texts=texts or ("hello",),
        max_input_tokens=LIMIT,
        truncate=truncate,
        request_id="r-1",
        traceparent="00-trace",
    )


def backend(*turns: Answer, **options: Any) -> tuple[OllamaBackend, Server]:
    server = Server(list(turns))
    return OllamaBackend([ENDPOINT], transport=server, connect_s=2, **options), server


async def failure(answer: Answer) -> AttemptError:
    sut, _ = backend(answer)
    with pytest.raises(AttemptError) as caught:
        await sut.embed(batch("one", "two"))
    return caught.value


async def test_a_batch_is_sent_with_truncate_made_explicit_and_comes_back_in_order() -> None:
    recording = load("060b_embed_list")
    sut, server = backend(recorded("060b_embed_list"), keep_alive="30m", api_key="secret")
    answer = await sut.embed(batch("hello", "world", "foo bar"))
    assert server.sent() == {
        "model": "all-minilm:22m",
        "input": ["hello", "world", "foo bar"],
        "truncate": False,
        "keep_alive": "30m",
    }
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert server.requests[0].headers["x-request-id"] == "r-1"
    assert server.requests[0].headers["traceparent"] == "00-trace"
    given = json.loads(recording.body)
    assert np.array_equal(answer.vectors, np.array(given["embeddings"], dtype=np.float32))
    assert answer.input_tokens == given["prompt_eval_count"]


async def test_a_stray_key_of_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "for a cloud")
    sut, server = backend(recorded("060b_embed_list"))
    await sut.embed(batch())
    assert "authorization" not in server.requests[0].headers


async def test_ollama_says_of_a_whole_batch_that_one_text_is_too_long() -> None:
    recording = load("061d_embed_list_one_too_long_truncate_false")
    sut, server = backend(recorded("061d_embed_list_one_too_long_truncate_false"))
    with pytest.raises(TextTooLongError) as caught:
        await sut.embed(batch(*recording.json["input"]))
    assert caught.value.tokens == {}
    assert server.sent()["truncate"] is False


async def test_a_text_is_cut_only_when_that_was_asked_for() -> None:
    sut, server = backend(recorded("061b_embed_too_long_truncate_true"))
    answer = await sut.embed(batch("long", truncate=True))
    assert server.sent()["truncate"] is True
    assert answer.input_tokens == LIMIT


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("061c_embed_too_long_truncate_false", TextTooLongError, "longer than all-minilm:22m takes"),
        ("020d_unknown_model_embed", ModelMissingError, "ollama pull all-minilm:22m"),
        ("062e_embed_chat_model", ModelMissingError, "is not an embedding model"),
        ("060g_embed_input_int", RejectedError, "refused the request (400)"),
        ("009b_host_header_foreign", UnauthorizedError, "refuses the host name"),
    ],
)
async def test_every_recorded_refusal_has_its_meaning(name: str, kind: type[AttemptError], says: str) -> None:
    error = await failure(recorded(name))
    assert type(error) is kind
    assert says in str(error)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(500, {"error": "json: unsupported value: NaN"}), BadVectorError),
        (said(500, {"error": "unexpected EOF"}), ServerFailedError),
        (said(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}), ServerFailedError),
        (said(429, {"error": "slow down"}), OverloadedError),
        (said(413, {"error": "too big"}), PayloadTooLargeError),
        (said(401, {"error": "unauthorized"}), UnauthorizedError),
        (
            said(500, {"error": LLAMA_TOO_LARGE}),
            TextTooLongError,
        ),
        (said(404, {"error": "nope"}), ServerFailedError),
        (Answer(200, b"<html>"), BrokenStreamError),
        (Answer(200, b'{"embeddings":"x"}'), BrokenStreamError),
        (Answer(200, b'{"embeddings":[[1,2],[3]]}'), BrokenStreamError),
        (Answer(200, b"[]"), BrokenStreamError),
        (Answer(200, b'{"embeddings":[[', httpx.RemoteProtocolError("cut")), BrokenStreamError),
        (refused(httpx.ConnectError("no")), UnreachableError),
        (refused(httpx.ReadTimeout("silence")), StalledError),
        (refused(OSError("reset")), BrokenStreamError),
    ],
)
async def test_everything_that_can_go_wrong_is_an_attempt_error(answer: Answer, kind: type[AttemptError]) -> None:
    error = await failure(answer)
    assert type(error) is kind


async def test_no_upstream_text_is_passed_on() -> None:
    error = await failure(said(500, {"error": "secret path /root/models"}))
    assert "secret" not in str(error)


async def test_null_in_a_vector_is_nan_for_the_check_that_follows() -> None:
    sut, _ = backend(Answer(200, b'{"embeddings":[[1,null]]}'))
    assert math.isnan((await sut.embed(batch())).vectors[0][1])


async def test_a_probe_knows_the_models_by_every_spelling() -> None:
    sut, _ = backend(recorded("005_get_tags"))
    probe = await sut.probe(ENDPOINT)
    assert probe.models is not None
    assert "all-minilm:22m" in probe.models
    assert "ALL-MINILM:22m" in probe.models
    assert "nomic-embed-text" not in probe.models


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(500, {"error": "x"}), ServerFailedError),
        (Answer(200, b"[]"), BrokenStreamError),
        (Answer(200, b"<html>"), BrokenStreamError),
        (refused(httpx.ConnectError("no")), UnreachableError),
    ],
)
async def test_a_probe_that_fails_is_an_attempt_error(answer: Answer, kind: type[AttemptError]) -> None:
    sut, _ = backend(answer)
    with pytest.raises(AttemptError) as caught:
        await sut.probe(ENDPOINT)
    assert type(caught.value) is kind


async def test_closing_closes_the_connections() -> None:
    sut, server = backend()
    await sut.aclose()
    assert server.closed == 1


class Ollama(httpx.AsyncBaseTransport):
    """Behaves as the recordings show for all-minilm: 512 tokens, of which two are its own."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(await request.aread())
        self.requests.append(asked)
        lengths = [len(text.split()) for text in asked["input"]]
        if max(lengths) > LIMIT - 2 and not asked["truncate"]:
            return httpx.Response(400, content=recorded("061c_embed_too_long_truncate_false").body)
        rows = [[float(length), *([1.0] * 383)] for length in lengths]
        return httpx.Response(200, json={"embeddings": rows, "prompt_eval_count": sum(lengths)})


def all_minilm() -> EmbeddingsFile:
    shipped = load_config(default_path({}), {}).model_dump()
    shipped["models"] = {
        "all-minilm:22m": {"backend": "ollama", "dimensions": 384, "max_input_tokens": LIMIT, "normalize": False}
    }
    shipped["defaults"] = {"model": "all-minilm:22m"}
    return EmbeddingsFile.model_validate(shipped)


async def test_one_text_that_is_too_long_names_itself_and_costs_the_others_nothing() -> None:
    ollama, texts = Ollama(), [f"{'word ' * (index + 1)}" for index in range(40)]
    texts[17] = "word " * 511  # the recorded limit is 510 words: 510 pass (061e), 511 do not (061f)
    texts[29] = "word " * 510
    outside = Outside(environ={}, make_transport=lambda _: ollama)
    async with open_embedder(all_minilm(), outside=outside) as embedder:
        with pytest.raises(ItemsTooLongError) as caught:
            await embedder.embed(EmbedRequest(texts=tuple(texts)))
        assert [item.index for item in caught.value.items] == [17]
        assert caught.value.partial is not None
        lengths = [row[0] for row in caught.value.partial.vectors]
        assert lengths == [len(text.split()) for index, text in enumerate(texts) if index != 17]
        result = await embedder.embed(EmbedRequest(texts=tuple(texts), truncate=True))
        assert result.truncated == (17,)
        assert [row[0] for row in result.vectors] == [len(text.split()) for text in texts]
    assert all(len(asked["input"]) == 1 for asked in ollama.requests if asked["truncate"])


async def test_nothing_reachable_is_an_error_that_says_what_to_do() -> None:
    server = Server([refused(httpx.ConnectError("refused"))])
    outside = Outside(environ={}, make_transport=lambda _: server)
    async with open_embedder(load_config(default_path({}), {}), outside=outside) as embedder:
        with pytest.raises(NoRuntimeError) as caught:
            await embedder.embed(EmbedRequest(texts=("hello",)))
    assert "cannot be reached" in str(caught.value)
    assert "Or ask for model 'wordllama'" in str(caught.value)
