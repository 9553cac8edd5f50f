"""`open_embedder(config)`: the only place where the parts are put together."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

import anyio

from embeddings_mcp.backends.base import Backend
from embeddings_mcp.backends.late import LateBackends
from embeddings_mcp.cache import VectorCache
from embeddings_mcp.config.file import BackendConfig, EmbeddingsFile
from embeddings_mcp.dispatch import Dispatch
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.telemetry.base import Listeners, Telemetry
from router_mcp.admission import AdmissionBook, Limit
from router_mcp.board import HealthBoard

if TYPE_CHECKING:
    import httpx

MakeTransport: TypeAlias = "Callable[[BackendConfig], httpx.AsyncBaseTransport]"
"""Makes the network of a backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What an embedder touches of the world; tests bring their own."""

    environ: Mapping[str, str]
    clock: Callable[[], float] = anyio.current_time
    new_id: Callable[[], str] = lambda: uuid4().hex
    make_transport: MakeTransport | None = None


@asynccontextmanager
async def open_embedder(
    file: EmbeddingsFile, telemetry: Telemetry | None = None, outside: Outside | None = None
) -> AsyncGenerator[Embedder]:
    """Yield an embedder for a configuration, and close every connection and child process at the end.

    Nothing is asked and nothing is loaded before the first call. Run `Prober(embedder).run()` beside it to have
    endpoints watched.
    """
    outside = outside or Outside(environ=os.environ)
    book = AdmissionBook(outside.clock)
    book.configure(
        {name: Limit(concurrency=each.concurrency, queue=each.max_queue) for name, each in file.backends.items()}
    )
    backends = LateBackends({name: partial(_backend, file, name, outside) for name in file.backends})
    dispatch = Dispatch(
        file=file,
        backends=backends,
        board=HealthBoard(file.health),
        book=book,
        telemetry=telemetry or Listeners(),
        clock=outside.clock,
    )
    try:
        yield Embedder(dispatch=dispatch, cache=VectorCache(file.cache), new_id=outside.new_id)
    finally:
        with anyio.CancelScope(shield=True):
            await backends.aclose()


def _backend(file: EmbeddingsFile, name: str, outside: Outside) -> Backend:
    """Make the adapter of a backend; the packages of the other kinds are not imported."""
    config, connect_s = file.backends[name], file.timeouts.connect
    if config.kind == "wordllama":
        from embeddings_mcp.backends.wordllama import WordLlamaBackend  # noqa: PLC0415 - see the docstring

        return WordLlamaBackend(concurrency=config.concurrency)
    from router_mcp.runtimes.wire import make_client  # noqa: PLC0415 - see the docstring

    key = (outside.environ.get(config.api_key_env) or "").strip() if config.api_key_env else ""
    transport = (outside.make_transport or _network(connect_s))(config)
    if config.kind == "gguf":
        from embeddings_mcp.backends.gguf import GgufBackend  # noqa: PLC0415 - see the docstring

        context = max((each.max_input_tokens for each in file.models.values() if each.backend == name), default=512)
        client = make_client(transport, connect_s=connect_s)
        return GgufBackend(config, context=context, client=client, probe_timeout_s=file.health.timeout)
    if config.kind == "ollama":
        from embeddings_mcp.backends.ollama import OllamaBackend  # noqa: PLC0415 - see the docstring

        keep_alive = config.keep_alive
        return OllamaBackend(
            file.endpoints(name), transport=transport, connect_s=connect_s, api_key=key, keep_alive=keep_alive
        )
    from embeddings_mcp.backends.openai import OpenAIBackend  # noqa: PLC0415 - see the docstring

    return OpenAIBackend(file.endpoints(name), client=make_client(transport, connect_s=connect_s), api_key=key)


def _network(connect_s: float) -> MakeTransport:
    from router_mcp.runtimes.wire import make_transport  # noqa: PLC0415 - only who calls out needs it

    def make(config: BackendConfig) -> httpx.AsyncBaseTransport:
        # Loading certificates costs 30 ms of every start.
        return make_transport(connect_s=connect_s, verify=any(url.startswith("https:") for url in config.endpoints))

    return make
