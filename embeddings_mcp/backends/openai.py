"""`/v1/embeddings` as OpenAI defines it: Text Embeddings Inference, vLLM pooling models, llama.cpp and others.

Some of them cut a text that is too long without a word (Ollama on this route, TEI with auto-truncate). That shows
only in the token count of a text that is sent alone, so such texts are sent alone (`cuts_silently`). Few cut on
demand, so that is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import httpx
import orjson
from pydantic import BaseModel

from embeddings_mcp.backends.refusals import refusal
from embeddings_mcp.domain import Answer, Batch, Vectors
from embeddings_mcp.errors import TextTooLongError, WrongShapeError
from embeddings_mcp.vectors import from_base64, matrix
from router_mcp.domain import Endpoint, Probe
from router_mcp.runtimes.wire import foreign_errors, read_body, read_error_body, status_error

_BODY_PER_TEXT = 512 * 1024
"""More than 16,384 numbers with every digit."""
_CHARS_PER_TOKEN = 4
_CUTS = 10
"""How often a text is made a quarter shorter before it is given up; the last try has 7 % of the first."""


class _Embedding(BaseModel):
    index: int
    embedding: str | list[float | None]


class _Usage(BaseModel):
    prompt_tokens: int = 0


class _Embeddings(BaseModel):
    data: list[_Embedding]
    usage: _Usage = _Usage()


@dataclass(frozen=True, slots=True)
class Wire:
    """The embeddings route of one server."""

    client: httpx.AsyncClient
    base: str
    """URL without `/v1`."""
    headers: Mapping[str, str]

    async def embed(self, batch: Batch) -> Answer:
        """Embed one batch; see `Backend.embed`. To be cut, a text must be alone."""
        if not batch.truncate:
            return await self._ask(batch, batch.texts)
        (text,) = batch.texts
        text = text[: batch.max_input_tokens * _CHARS_PER_TOKEN]
        for _ in range(_CUTS):
            try:
                return await self._ask(batch, (text,))
            except TextTooLongError:
                text = text[: max(1, len(text) * 3 // 4)]
        raise TextTooLongError(f"{batch.endpoint} refuses even the beginning of the text for its length. Shorten it.")

    async def _ask(self, batch: Batch, texts: tuple[str, ...]) -> Answer:
        body = orjson.dumps({"model": batch.model, "input": texts, "encoding_format": "base64"})
        headers = {"accept-encoding": "identity", **self.headers, **batch.headers()}
        with foreign_errors(batch.endpoint):
            async with self.client.stream(
                "POST", f"{self.base}/v1/embeddings", content=body, headers=headers
            ) as response:
                if response.status_code != 200:
                    raise refusal(batch, response.status_code, response.headers, await read_error_body(response))
                raw = await read_body(response, 2**20 + _BODY_PER_TEXT * len(texts))
            return _read(batch.endpoint, len(texts), raw)


class OpenAIBackend:
    """Every endpoint of one OpenAI-compatible backend."""

    cuts_silently: ClassVar[bool] = True

    def __init__(self, endpoints: Iterable[Endpoint], *, client: httpx.AsyncClient, api_key: str | None = None) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = client
        self._wires = {each: Wire(client, each.url.removesuffix("/v1"), headers) for each in endpoints}

    async def embed(self, batch: Batch) -> Answer:
        """Embed one batch; a lone text that used every token is refused, for it may have been cut."""
        answer = await self._wires[batch.endpoint].embed(batch)
        if not batch.truncate and len(batch.texts) == 1 and answer.input_tokens >= batch.max_input_tokens:
            message = f"{batch.model} on {batch.endpoint} used every token that it takes, so the text may be cut."
            raise TextTooLongError(f"{message} Shorten it.", tokens={0: answer.input_tokens})
        return answer

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask for its models, only to see that it answers: llama.cpp and TEI list other names than they take."""
        wire = self._wires[endpoint]
        with foreign_errors(endpoint):
            async with self._client.stream("GET", f"{wire.base}/v1/models", headers=dict(wire.headers)) as response:
                if response.status_code not in {200, 404, 405}:
                    raise status_error(endpoint, response.status_code, response.headers)
        return Probe()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _read(endpoint: Endpoint, count: int, raw: bytes) -> Answer:
    """Put an answer in the order of its own indices; what each vector holds is checked later."""
    parsed = _Embeddings.model_validate(orjson.loads(raw))
    rows: dict[int, Vectors | list[float | None]] = {
        each.index: from_base64(each.embedding) if isinstance(each.embedding, str) else each.embedding
        for each in parsed.data
    }
    if sorted(rows) != list(range(count)) or len(parsed.data) != count:
        message = f"{endpoint} answered {len(parsed.data)} vectors to {count} texts, or numbered them wrongly."
        raise WrongShapeError(f"{message} Look at its log.")
    return Answer(vectors=matrix([rows[index] for index in range(count)]), input_tokens=parsed.usage.prompt_tokens)
