"""The live Ollama suite: a server that the user has. `make live-ollama` runs it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Endpoint
from router_mcp.errors import AttemptError
from router_mcp.runtimes.ollama import OllamaRuntime
from router_mcp.runtimes.wire import make_transport

DEFAULT_MODEL = "llama3.2:1b"
NO_CHAT = ("embed", "minilm", "bge", "rerank")


@pytest.fixture
def endpoint() -> Endpoint:
    """Return the server at `OLLAMA_URL`."""
    url = os.environ.get("OLLAMA_URL", "").rstrip("/")
    if not url:
        message = (
            "OLLAMA_URL is not set. Install Ollama, run `ollama serve` and "
            f"`ollama pull {DEFAULT_MODEL}`, then: OLLAMA_URL=http://127.0.0.1:11434 make live-ollama"
        )
        pytest.fail(message, pytrace=False)
    return Endpoint(runtime="ollama-live", url=url)


@pytest.fixture
async def runtime(endpoint: Endpoint) -> AsyncIterator[OllamaRuntime]:
    """Return the adapter as it is wired in production."""
    config = RuntimeConfig(kind="ollama", endpoints=(endpoint.url,))
    adapter = OllamaRuntime(config, make_transport(connect_s=2), connect_s=2, probe_timeout_s=5)
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def model(runtime: OllamaRuntime, endpoint: Endpoint) -> str:
    """Return `OLLAMA_TEST_MODEL`, else the small default, else any chat model that is there."""
    if named := os.environ.get("OLLAMA_TEST_MODEL"):
        return named
    try:
        listed = (await runtime.probe(endpoint)).models or frozenset()
    except AttemptError as error:
        pytest.fail(f"OLLAMA_URL does not lead to an Ollama: {error}", pytrace=False)
    chat = sorted(name for name in listed if not any(part in name for part in NO_CHAT))
    if not chat:
        pytest.fail(f"{endpoint} has no chat model. Run: ollama pull {DEFAULT_MODEL}", pytrace=False)
    return DEFAULT_MODEL if DEFAULT_MODEL in listed else chat[0]
