"""A router with something to show: two runtimes that work, one that is gone, and calls in the recent past."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.observability.calls import call
from tests.observability.router import router_http
from tests.observability.sockets import served
from tests.observability.upstream import Upstream

TOKEN = "s3cret"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
POLICY = """
version: 1
runtimes:
  vllm-reasoning: {{kind: vllm, endpoints: ["{url}"], allow_insecure: true, max_concurrency: 64}}
  vllm-general: {{kind: vllm, endpoints: ["{other}"], allow_insecure: true, max_concurrency: 32}}
  laptop: {{kind: ollama, endpoints: ["http://127.0.0.1:9"], allow_insecure: true}}
models:
  mixtral-8x7b-instruct: {{runtime: vllm-reasoning, served_name: good, context_window: 32768}}
  qwen2.5-14b-instruct: {{runtime: vllm-general, served_name: good, context_window: 16384}}
  llama3.1-8b-instruct: {{runtime: laptop, context_window: 8192}}
tasks:
  reasoning: {{models: [mixtral-8x7b-instruct, llama3.1-8b-instruct]}}
  summarisation: {{models: [qwen2.5-14b-instruct, mixtral-8x7b-instruct]}}
  report: {{models: [mixtral-8x7b-instruct, qwen2.5-14b-instruct], timeout: long_form}}
  private: {{models: [llama3.1-8b-instruct, qwen2.5-14b-instruct]}}
defaults: {{task: reasoning}}
health: {{interval: 1, timeout: 5}}
"""


@asynccontextmanager
async def staged(folder: Path, environ: dict[str, str] | None = None) -> AsyncGenerator[str]:
    """Yield the URL of the router; its token is `TOKEN` unless the environment says otherwise."""
    first, second = Upstream(), Upstream()
    async with served(first.app) as url, served(second.app) as other:
        policy = folder / "policy.yaml"
        policy.write_text(POLICY.format(url=url, other=other))
        async with router_http(policy, {"ROUTER_MCP_TOKEN": TOKEN, **(environ or {})}) as (_, router):
            async with httpx.AsyncClient(timeout=60, headers=AUTHORIZED) as client:
                for number in range(24):
                    for upstream in (first, second):
                        upstream.pause_s = 0.01 + 0.02 * (number * 7 % 5)
                    task = ("reasoning", "summarisation", "private")[number % 3]
                    await call(client, router, "generate", {"prompt": "x", "task": task})
            yield router
