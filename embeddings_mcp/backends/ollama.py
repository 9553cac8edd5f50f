"""Ollama's `/api/embed`. `truncate` is always explicit, because the default cuts without a word (Ollama #19)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import httpx
import orjson
from pydantic import BaseModel

from embeddings_mcp.backends.refusals import refusal
from embeddings_mcp.domain import Answer, Batch
from embeddings_mcp.vectors import matrix
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import BrokenStreamError, ConfigError
from router_mcp.runtimes.ollama_names import ModelNames
from router_mcp.runtimes.wire import foreign_errors, status_error, time_limits

try:
    import ollama
except (ImportError, OSError, ValueError) as error:  # it makes a client while it is imported
    raise ConfigError(
        f"The ollama package does not start ({type(error).__name__}): OLLAMA_HOST, or a variable for proxies or "
        "certificates, is wrong. Correct or unset it; the configuration says where Ollama is."
    ) from error


class _Embedded(BaseModel):
    embeddings: list[list[float | None]]
    prompt_eval_count: int = 0


class _Client(ollama.AsyncClient):
    """The official client, whose `embed` would take no headers and drop those of a refusal."""

    _client: httpx.AsyncClient

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport, connect_s: float, api_key: str | None) -> None:
        super().__init__(
            url,
            transport=transport,
            timeout=time_limits(connect_s),
            follow_redirects=False,
            trust_env=False,
        )
        self._client.headers.pop("authorization", None)  # it takes OLLAMA_API_KEY, which nobody configured here
        if api_key:
            self._client.headers["authorization"] = f"Bearer {api_key}"

    async def ask_to_embed(self, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        """Send a request to embed, and return the answer whatever it is."""
        return await self._client.post("/api/embed", content=orjson.dumps(body), headers=headers)


class OllamaBackend:
    """Every endpoint of one Ollama backend. It owns `transport`, which all of them share."""

    cuts_silently: ClassVar[bool] = False

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        transport: httpx.AsyncBaseTransport,
        connect_s: float,
        api_key: str | None = None,
        keep_alive: str | int | None = None,
    ) -> None:
        self._transport = transport
        self._keep_alive = {} if keep_alive is None else {"keep_alive": keep_alive}
        self._clients = {each: _Client(each.url, transport, connect_s, api_key) for each in endpoints}

    async def embed(self, batch: Batch) -> Answer:
        """Embed one batch; see `Backend.embed`."""
        body = {"model": batch.model, "input": batch.texts, "truncate": batch.truncate, **self._keep_alive}
        with foreign_errors(batch.endpoint):
            response = await self._clients[batch.endpoint].ask_to_embed(body, batch.headers())
            if response.status_code != 200:
                raise refusal(batch, response.status_code, response.headers, response.content)
            answer = _Embedded.model_validate_json(response.content)
            return Answer(vectors=matrix(answer.embeddings), input_tokens=answer.prompt_eval_count)

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask which models it has; see `Backend.probe`."""
        with foreign_errors(endpoint):
            try:
                listed = await self._clients[endpoint].list()
            except ollama.ResponseError as error:
                raise status_error(endpoint, error.status_code, httpx.Headers()) from error
            except (AttributeError, TypeError) as error:  # it takes any JSON for an object
                message = f"{endpoint} answered what cannot be read. Is it the backend you meant?"
                raise BrokenStreamError(message) from error
        return Probe(models=ModelNames(model.model or "" for model in listed.models))

    async def aclose(self) -> None:
        """Close every connection; the clients hold nothing else."""
        await self._transport.aclose()
