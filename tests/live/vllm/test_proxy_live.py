"""The deployed proxy in front of the real vLLM: the router's adapter works through it, and the rest is shut."""

from __future__ import annotations

import httpx
import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Endpoint
from router_mcp.runtimes.vllm import VllmRuntime
from router_mcp.runtimes.wire import make_client, make_transport
from tests.contract.calls import Heard, a_call
from tests.infra import nginx

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

BOUND_S = 60.0
"""Only so that a broken test ends."""


async def test_healthz_and_generation_pass_and_inference_without_a_key_does_not(endpoint: Endpoint) -> None:
    chat = {"model": "smollm2", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    with nginx.running(nginx.deployments()["helm vllm"], endpoint.url.removeprefix("http://")) as port:
        door = Endpoint(runtime="vllm-live", url=f"http://127.0.0.1:{port}")
        async with httpx.AsyncClient(trust_env=False, timeout=BOUND_S) as client:
            assert (await client.get(f"{endpoint.url}/healthz")).status_code == 404
            assert (await client.get(f"{door.url}/healthz")).status_code == 200
            assert (await client.post(f"{endpoint.url}/invocations", json=chat)).status_code == 200
            assert (await client.post(f"{door.url}/invocations", json=chat)).status_code == 404
            assert "vllm:num_requests_waiting{" in (await client.get(f"{door.url}/metrics")).text
        config = RuntimeConfig(kind="vllm", endpoints=(door.url,))
        runtime = VllmRuntime(config, make_client(make_transport(connect_s=2), connect_s=2), extras_s=5)
        try:
            probe = await runtime.probe(door)
            heard = Heard()
            completion = await runtime.generate(a_call(door), heard)
        finally:
            await runtime.aclose()
    assert probe.models is not None
    assert "smollm2" in probe.models
    assert completion.text == "".join(heard.texts)
    assert len(heard.texts) > 1


async def test_the_scalers_query_finds_its_series(endpoint: Endpoint) -> None:
    """KEDA reads `vllm:num_requests_waiting` by `model_name`, which is the first served name (vLLM B1 #9)."""
    async with httpx.AsyncClient(trust_env=False, timeout=BOUND_S) as client:
        text = (await client.get(f"{endpoint.url}/metrics")).text
    series = [line for line in text.splitlines() if line.startswith("vllm:num_requests_waiting{")]
    assert series
    assert all('model_name="mixtral-8x7b-instruct"' in line for line in series)
