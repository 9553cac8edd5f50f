"""The server as a process: over stdio, over HTTP, with large calls, and with nothing to ask."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from typing import Any

import httpx
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult

from embeddings_mcp import default_path, embedded_path
from tests.clients.served import serve_over_http
from tests.live.embeddings.corpus import long_texts

pytestmark = pytest.mark.anyio

NOWHERE = {"OLLAMA_URL": "http://127.0.0.1:9"}


def stdio(*arguments: str, **env: str) -> StdioServerParameters:
    command = ["-m", "embeddings_mcp", "serve", *arguments]
    return StdioServerParameters(command=sys.executable, args=command, env={**os.environ, **env})


def content(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def test_over_stdio_the_embedded_model_embeds_and_ranks() -> None:
    async with Client(stdio("--config", str(embedded_path()))) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "embed_texts",
            "rank_texts",
            "list_embedding_models",
        ]
        embedded = content(await client.call_tool("embed_texts", {"texts": ["a", "b"], "encoding": "base64"}))
        assert len(base64.b64decode(embedded["embeddings"][1])) == 256 * 4
        texts = ["sockets and packets", "flour, water and yeast"]
        ranked = content(await client.call_tool("rank_texts", {"query": "How do I bake bread?", "texts": texts}))
        assert ranked["results"][0]["index"] == 1


async def test_with_nothing_reachable_the_server_starts_and_its_errors_say_what_to_do() -> None:
    async with Client(stdio("--config", str(default_path({})), **NOWHERE)) as client:
        result = await client.call_tool("embed_texts", {"texts": ["a"]})
        assert result.is_error
        assert result.meta is not None
        assert result.meta["embeddings-mcp/error"]["code"] == "backend_unavailable"
        said = str(result.content)
        assert "Start it" in said
        assert "ask for model 'wordllama'" in said
        assert content(await client.call_tool("embed_texts", {"texts": ["a"], "model": "wordllama"}))["count"] == 1


async def test_2048_texts_of_200_words_go_through_stdio_as_numbers() -> None:
    texts = long_texts(2048)
    async with Client(stdio("--config", str(embedded_path()))) as client:
        found = content(await client.call_tool("embed_texts", {"texts": list(texts)}))
        last = content(await client.call_tool("embed_texts", {"texts": [texts[-1]]}))
    assert found["count"] == len(found["embeddings"]) == 2048
    assert np.abs(np.array(found["embeddings"][-1]) - np.array(last["embeddings"][0])).max() < 1e-6


async def test_a_payload_of_more_than_4_mib_works_over_http() -> None:
    texts = [f"{text} {index}" for index, text in enumerate(long_texts(2048, words=400))]
    assert len(json.dumps(texts)) > 4 * 2**20
    with serve_over_http("embeddings_mcp", embedded_path()) as url:
        async with Client(url) as client:
            found = content(await client.call_tool("embed_texts", {"texts": texts, "encoding": "base64"}))
    assert (found["count"], len(found["embeddings"])) == (2048, 2048)


def test_a_payload_of_100_mb_is_refused_politely() -> None:
    body = b'{"jsonrpc": "2.0", "padding": "' + b"x" * 100_000_000 + b'"}'
    with serve_over_http("embeddings_mcp", embedded_path()) as url:
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        refused = httpx.post(url, content=body, headers=headers, timeout=60)
        assert refused.status_code == 413
        assert refused.json()["error"] == "body_too_large"
        assert "67108864 bytes" in refused.json()["message"]
        assert httpx.get(url.replace("/mcp", "/healthz")).status_code == 200


async def test_pages_beside_the_tools_tell_health_and_metrics() -> None:
    with serve_over_http("embeddings_mcp", embedded_path()) as url:
        async with Client(url) as client:
            await client.call_tool("rank_texts", {"query": "a", "texts": ["b"]})
        async with httpx.AsyncClient() as pages:
            assert (await pages.get(url.replace("/mcp", "/readyz"))).json() == {"status": "ready"}
            metrics = (await pages.get(url.replace("/mcp", "/metrics"))).text
    assert 'embeddings_mcp_requests_total{model="wordllama",outcome="ok"} 1.0' in metrics
    assert 'embeddings_mcp_endpoint_state{backend="wordllama",endpoint="in-process",state="healthy"} 1.0' in metrics


def test_a_server_that_can_serve_nothing_is_alive_but_not_ready(tmp_path: Any) -> None:
    config = tmp_path / "embeddings.yaml"
    config.write_text(
        "version: 1\n"
        'backends: {ollama: {kind: ollama, endpoints: ["http://127.0.0.1:9"]}}\n'
        "models: {m: {backend: ollama, dimensions: 4, max_input_tokens: 512}}\n"
        "defaults: {model: m}\n"
    )
    with serve_over_http("embeddings_mcp", config) as url:
        assert httpx.get(url.replace("/mcp", "/healthz")).status_code == 200
        ready = httpx.get(url.replace("/mcp", "/readyz"))
    assert ready.status_code == 503
    assert ready.json()["reason"].startswith(("m is unhealthy", "m was not asked yet"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stdio_server_leaves_cleanly_when_told_to(how: signal.Signals) -> None:
    command = [sys.executable, "-m", "embeddings_mcp", "serve", "--config", str(embedded_path())]
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "0"},
        },
    }
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(initialize).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "embeddings"
        process.send_signal(how)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said


@pytest.mark.parametrize("prefix", ["EMBEDDINGS_MCP", "ROUTER_MCP"])
def test_a_host_on_the_network_needs_a_token_and_names(prefix: str) -> None:
    command = [
        sys.executable,
        "-m",
        "embeddings_mcp",
        "serve",
        "--transport",
        "http",
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    refused = subprocess.run(
        [*command, "--config", str(embedded_path())],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, f"{prefix}_TOKEN": "secret"},
    )
    assert refused.returncode == 2
    assert "EMBEDDINGS_MCP_ALLOWED_HOSTS" in refused.stderr
    assert "EMBEDDINGS_MCP_TOKEN is not" not in refused.stderr


def test_traces_are_written_when_they_are_asked_for() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "embeddings_mcp", "serve", "--config", str(embedded_path())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LLM_TRACE_EXPORTER": "console"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": "rank_texts", "arguments": {"query": "a", "texts": ["b"]}, "_meta": meta}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        process.stdin.write(json.dumps(call).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        _, said = process.communicate(timeout=20)
    text = said.decode()
    assert '"name": "embeddings wordllama"' in text
    assert '"name": "tools/call rank_texts"' in text
    trace_id = answer["result"]["_meta"]["embeddings-mcp/route"]["trace_id"]
    assert text.count(f'"trace_id": "0x{trace_id}"') >= 2
