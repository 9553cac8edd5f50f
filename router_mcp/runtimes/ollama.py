"""Ollama on its native wire. The surprises that shaped this file are named where they are met (Ollama #n).

Its OpenAI route is not used: it ignores `num_ctx` and `max_completion_tokens` (#20). There are no time limits
here but on connecting: a load that is cut short starts again from nothing (#13), so the router alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx
from pydantic import BaseModel

from router_mcp.domain import Capabilities, Probe
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ConfigError,
    StalledError,
    UnreachableError,
)
from router_mcp.runtimes.ollama_answer import Answer
from router_mcp.runtimes.ollama_names import ModelNames
from router_mcp.runtimes.ollama_refusals import Asked, host_refused, refusal
from router_mcp.runtimes.ollama_request import request_body
from router_mcp.runtimes.wire import call_headers, foreign_errors, read_error_body, status_error, time_limits

try:
    import ollama
except (ImportError, OSError, ValueError) as error:  # it makes a client while it is imported
    raise ConfigError(
        f"The ollama package does not start ({type(error).__name__}): OLLAMA_HOST, or a variable for proxies or "
        "certificates, is wrong. Correct or unset it; the policy file says where Ollama is."
    ) from error

if TYPE_CHECKING:
    from router_mcp.config.policy_file import RuntimeConfig
    from router_mcp.domain import Call, Completion, Endpoint, Listener

NATIVE_HEALTH = "/api/version"
"""Answers 200 whatever the models do, a frozen runner included (#12); `/healthz` is 404 (#22)."""
ROOT = "/"
"""Says that Ollama is running, and is left where a gateway or a server of Ollama's kind has no version."""
TAIL_S = 1.0
"""The end of the body follows the last line at once. The answer does not wait longer for it."""
UNLOAD_LOOKS, UNLOAD_PAUSE_S = 20, 0.25
"""A model that is generating is unloaded when it is done; it is looked for so often, this far apart."""

T = TypeVar("T")


class _Version(BaseModel):
    version: str


class _Client(ollama.AsyncClient):
    """The official client, and a chat call with what that has no words for.

    Its `chat` takes neither `shift` nor `truncate`, without which prompts are cut in silence (#6), nor headers;
    it drops the headers of a refusal, and its reader breaks on some lines (`ollama_answer`).
    """

    _client: httpx.AsyncClient

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport, connect_s: float, api_key: str | None) -> None:
        super().__init__(
            url,
            transport=transport,
            timeout=time_limits(connect_s),
            follow_redirects=False,
            trust_env=False,
            headers={"accept-encoding": "identity"},  # compressed by a proxy, a stream would come in lumps
        )
        self._client.headers.pop("authorization", None)  # it takes OLLAMA_API_KEY, which nobody configured here
        if api_key:
            self._client.headers["authorization"] = f"Bearer {api_key}"

    def stream_chat(self, body: bytes, headers: dict[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a chat request and open its answer."""
        return self._client.stream("POST", "/api/chat", content=body, headers=headers)

    async def get(self, path: str) -> httpx.Response:
        """Ask for something that the client has no method for."""
        return await self._client.get(path)


class OllamaRuntime:
    """All endpoints of one Ollama runtime. It owns `transport`, which all of them share, and closes it once."""

    def __init__(
        self,
        config: RuntimeConfig,
        transport: httpx.AsyncBaseTransport,
        *,
        connect_s: float,
        probe_timeout_s: float,
        api_key: str | None = None,
    ) -> None:
        self._config = config
        self._transport = transport
        self._probe_timeout_s = probe_timeout_s
        key = (api_key or "").strip() or None  # a key from a file often ends in a line break
        self._clients = {url: _Client(url, transport, connect_s, key) for url in config.endpoints}
        self._native_health: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        """JSON schemas; choices and regexes count, because the caller writes them as schemas."""
        return Capabilities(grammar=False)

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Run one call; cancelling closes the socket, on which Ollama stops generating."""
        request = request_body(call, self._config.keep_alive)
        answer = Answer(call, listener)
        with foreign_errors(call.endpoint):
            async with self._clients[call.endpoint.url].stream_chat(request, call_headers(call)) as response:
                if response.status_code != 200:
                    said = await read_error_body(response)
                    raise refusal(Asked.by(call), response.status_code, response.headers, said)
                await _read(response, answer)
        return answer.completion()

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask whether it lives, which models it has and which are in memory; nothing is loaded by that."""
        client = self._clients[endpoint.url]
        with foreign_errors(endpoint), anyio.fail_after(self._probe_timeout_s):
            version = await self._check_health(endpoint, client)
            tags = await _offered(endpoint, client.list())
            ps = await _offered(endpoint, client.ps())
        listed = [(model.model or "", model.digest) for model in tags.models] if tags else []
        running = [(model.model or "", model.digest) for model in ps.models] if ps else []
        in_memory = {digest for _, digest in running if digest}
        # Aliases share one runner, and only the name that was loaded first is shown (#24).
        loaded = [name for name, _ in running] + [name for name, digest in listed if digest in in_memory]
        return Probe(
            version=version,
            models=ModelNames(name for name, _ in listed) if tags else None,
            loaded=ModelNames(loaded) if ps else None,
        )

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Unload every model, for prefixes live as long as their runner; `False` when one stays in use."""
        client = self._clients[endpoint.url]
        for model in (await _reply(endpoint, client.ps())).models:
            if model.model:
                await _offered(endpoint, client.chat(model.model, [], keep_alive=0))
        for _ in range(UNLOAD_LOOKS):
            if not (await _reply(endpoint, client.ps())).models:
                return True
            await anyio.sleep(UNLOAD_PAUSE_S)
        return False

    async def aclose(self) -> None:
        """Close every connection; the clients hold nothing else."""
        await self._transport.aclose()

    async def _check_health(self, endpoint: Endpoint, client: _Client) -> str | None:
        if endpoint.url not in self._native_health:
            response = await client.get(self._config.health_path)
            if response.status_code != 404:
                _check(endpoint, response)
                return await _offered(endpoint, _version(endpoint, client))
            self._native_health.add(endpoint.url)
        response = await client.get(NATIVE_HEALTH)
        if response.status_code == 404:
            _check(endpoint, await client.get(ROOT))
            return None
        return _read_version(endpoint, response)


async def _read(response: httpx.Response, answer: Answer) -> None:
    with anyio.CancelScope() as tail:
        try:
            async for chunk in response.aiter_bytes():
                answer.feed(chunk)
                if answer.finished and tail.deadline == math.inf:
                    tail.deadline = anyio.current_time() + TAIL_S
        except httpx.HTTPError:
            if not answer.finished:  # a complete answer stays one, however its connection ends
                raise


async def _reply(endpoint: Endpoint, reply: Awaitable[T]) -> T:
    """Await a call of the official client, and turn all that it may raise into an `AttemptError`."""
    with foreign_errors(endpoint):
        try:
            return await reply
        # The client takes any JSON for an object, and falls over what is none.
        except (ollama.ResponseError, AttributeError, TypeError) as error:
            status = getattr(error, "status_code", -1)  # an error within a 200 has none either
            if status > 0:
                raise status_error(endpoint, status, httpx.Headers()) from error
            raise BrokenStreamError(f"{endpoint} answered what cannot be read. Is it the runtime you meant?") from error


async def _offered(endpoint: Endpoint, reply: Awaitable[T]) -> T | None:
    """Return what is good to know, or `None`; only that nobody answers at all is an error."""
    try:
        return await _reply(endpoint, reply)
    except (UnreachableError, StalledError):
        raise
    except AttemptError:
        return None


async def _version(endpoint: Endpoint, client: _Client) -> str:
    return _read_version(endpoint, await client.get(NATIVE_HEALTH))


def _read_version(endpoint: Endpoint, response: httpx.Response) -> str:
    _check(endpoint, response)
    return _Version.model_validate_json(response.content).version


def _check(endpoint: Endpoint, response: httpx.Response) -> None:
    status = response.status_code
    if status == 403 and not response.content:
        raise host_refused(endpoint)
    if status != 200:
        raise status_error(endpoint, status, response.headers)
