"""A client that is not ours gets real answers from real embedded models, over stdio and HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from router_mcp.config import profile_path
from tests.clients.inspector import Inspector, answer, install_inspector
from tests.clients.npm import Said
from tests.clients.served import serve_over_http

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 30}, "capital": {"type": "boolean"}},
    "required": ["city", "capital"],
    "additionalProperties": False,
}
SERVER = (sys.executable, "-m", "router_mcp", "serve")
EMBEDDED = f"ROUTER_MCP_CONFIG={profile_path('embedded')}"
# The Inspector has a --config of its own, and hands a server no more of the environment than it is told to.
STDIO = (*SERVER, "-e", EMBEDDED, "-e", f"HOME={Path.home()}", "-e", f"PATH={os.environ['PATH']}")


@pytest.fixture(scope="session")
def inspector() -> Inspector:
    return install_inspector()


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with serve_over_http("router_mcp", profile_path("embedded")) as address:
        yield address


@pytest.fixture(params=["stdio", "http"])
def target(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param == "stdio":
        return STDIO
    return (request.getfixturevalue("url"), "--transport", "http")


def call(inspector: Inspector, target: tuple[str, ...], tool: str, arguments: dict[str, object]) -> Said:
    named = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))
    return inspector.run(*target, *named, "--format", "json")


def test_it_lists_the_tools(inspector: Inspector, target: tuple[str, ...]) -> None:
    said = inspector.run(*target, "--method", "tools/list", "--format", "json")
    assert said.status == 0, said.stderr
    for name in ("generate", "structured_generate", "list_models", "explain_route"):
        assert f'"{name}"' in said.stdout


def test_it_gets_a_generated_answer(inspector: Inspector, target: tuple[str, ...]) -> None:
    arguments = {"prompt": "What is the capital of France? One word.", "temperature": 0, "max_output_tokens": 12}
    said = call(inspector, target, "generate", arguments)
    assert said.status == 0, said.stderr
    assert "Paris" in said.stdout
    assert "smollm2-135m-instruct" in said.stdout


def test_it_gets_data_that_satisfies_the_schema(inspector: Inspector, target: tuple[str, ...]) -> None:
    arguments = {"prompt": "Is Rome a capital? Answer as data.", "json_schema": SCHEMA, "temperature": 0}
    said = call(inspector, target, "structured_generate", arguments)
    assert said.status == 0, said.stderr
    found = answer(said)["structuredContent"]["data"]
    assert isinstance(found["city"], str)
    assert isinstance(found["capital"], bool)
    assert set(found) == {"city", "capital"}


def test_it_sees_the_text_of_an_error_and_goes_on(inspector: Inspector, target: tuple[str, ...]) -> None:
    said = call(inspector, target, "generate", {"prompt": "hi", "task": "cooking"})
    assert said.status == 5, "the Inspector's status for a tool error"
    assert "reasoning" in said.stdout + said.stderr


def test_it_reads_a_resource(inspector: Inspector, target: tuple[str, ...]) -> None:
    said = inspector.run(*target, "--method", "resources/read", "--uri", "router://models", "--format", "json")
    assert said.status == 0, said.stderr
    assert "smollm2-135m-instruct" in said.stdout


def test_without_any_runtime_the_server_starts_at_once_and_says_what_to_do(inspector: Inspector) -> None:
    asked = ("--method", "tools/call", "--tool-name", "generate", "--tool-arg", "prompt=hi")
    said = inspector.run(*SERVER, "-e", "OLLAMA_URL=http://127.0.0.1:9", *asked)
    assert said.status == 5
    assert "Start it" in said.stdout + said.stderr


def test_stdout_of_the_server_is_nothing_but_protocol() -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    command = (*SERVER, "--config", str(profile_path("embedded")))
    done = subprocess.run(command, input=line + "\n", capture_output=True, text=True, timeout=60, check=False)
    assert [json.loads(text)["id"] for text in done.stdout.splitlines()] == [1]
    assert done.returncode == 0
