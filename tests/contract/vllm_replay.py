"""The vLLM adapter on recordings instead of a server."""

from __future__ import annotations

from typing import Any

import httpx

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Call, Endpoint
from router_mcp.runtimes.vllm import VllmRuntime
from tests.contract.calls import a_call
from tests.contract.replay import Exchange, Pieces, Replay, exchanges

VLLM = "vllm-0.32.0"
ENDPOINT = Endpoint(runtime="vllm-reasoning", url="http://vllm.test:8000")


def over(transport: httpx.AsyncBaseTransport, **settings: Any) -> VllmRuntime:
    """Return an adapter that talks through this transport; `settings` are of the runtime's configuration."""
    api_key = settings.pop("api_key", None)
    config = RuntimeConfig(kind="vllm", endpoints=(ENDPOINT.url,), **settings)
    return VllmRuntime(config, httpx.AsyncClient(transport=transport), api_key=api_key)


def replaying(
    *script: Exchange, keys: tuple[str, ...] | None = None, piece: int = 65_536
) -> tuple[VllmRuntime, Replay]:
    """Return an adapter and the replay that it meets; see `Replay` for `keys` and `piece`."""
    replay = Replay(script, keys=keys, piece=piece)
    return over(replay), replay


def recorded(*names: str) -> tuple[Exchange, ...]:
    """Return the exchanges of these recordings of vLLM."""
    return tuple(exchange for name in names for exchange in exchanges(VLLM, name))


def answer(status: int, body: bytes = b"", kind: str = "application/json") -> httpx.Response:
    """Return a response that can be streamed, which one with `content` cannot."""
    return httpx.Response(status, headers={"content-type": kind}, stream=Pieces(body, 65_536))


def ask(prompt: str = "hi", **changes: Any) -> Call:
    """Return a call to the recorded endpoint."""
    return a_call(ENDPOINT, prompt, **changes)
