"""The live vLLM suite: a real server, started once. `make live-vllm` builds what it needs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Endpoint
from router_mcp.runtimes.vllm import VllmRuntime
from router_mcp.runtimes.wire import make_client, make_transport
from tests.live.vllm import build, server
from tests.live.vllm.recorder import Recorder


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Server]:
    """Return a server: the one at `VLLM_LIVE_URL` if set, else a new one, ended after the session."""
    if url := os.environ.get("VLLM_LIVE_URL"):
        yield server.Server(url.rstrip("/"))
        return
    if not build.is_built():
        pytest.fail("There is no vLLM to test with, or an old one: run make live-vllm.", pytrace=False)
    with server.running(tmp_path_factory.mktemp("vllm") / "vllm.log") as started:
        yield started


@pytest.fixture
def endpoint(vllm: server.Server) -> Endpoint:
    """Return the server as the adapter knows it."""
    return Endpoint(runtime="vllm-live", url=vllm.url)


@pytest.fixture
async def wire() -> AsyncIterator[Recorder]:
    """Return the production transport, with a copy of what goes over it."""
    transport = Recorder(make_transport(connect_s=2))
    yield transport
    await transport.aclose()


@pytest.fixture
async def runtime(endpoint: Endpoint, wire: Recorder) -> AsyncIterator[VllmRuntime]:
    """Return the adapter as it is wired in production, but for the copy."""
    config = RuntimeConfig(kind="vllm", endpoints=(endpoint.url,))
    adapter = VllmRuntime(config, make_client(wire, connect_s=2), extras_s=5)
    yield adapter
    await adapter.aclose()
