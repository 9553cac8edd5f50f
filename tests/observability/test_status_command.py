"""`router-mcp status` of a running server, and of runtimes that it asks itself, as a person on a terminal sees them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

from tests.observability.calls import call
from tests.observability.router import ROOT, router_http, write_policy
from tests.observability.sockets import served
from tests.observability.upstream import Upstream

pytestmark = pytest.mark.anyio

TOKEN = "s3cret"
COMMAND = [sys.executable, "-m", "router_mcp", "status"]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("status")
    upstream = Upstream()
    async with served(upstream.app) as models:
        policy = write_policy(folder, models)
        async with router_http(policy, {"ROUTER_MCP_TOKEN": TOKEN}) as (_, url):
            async with httpx.AsyncClient(timeout=30, headers={"authorization": f"Bearer {TOKEN}"}) as client:
                await call(client, url, "generate", {"prompt": "x"})
            yield url, policy


async def run(*options: str, token: str = TOKEN) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "ROUTER_MCP_TOKEN": token, "COLUMNS": "200"}
    with anyio.fail_after(60):
        return await anyio.run_process([*COMMAND, *options], cwd=ROOT, env=env, check=False)


async def test_a_running_server_tells_how_its_calls_went(server: tuple[str, Path]) -> None:
    done = await run("--url", server[0], "--json")
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    good = next(model for model in seen["models"] if model["name"] == "good")
    assert good["recent"]["attempts"] == 1
    assert good["recent"]["p50_s"] > 0
    shown = (await run("--url", f"{server[0]}/mcp")).stdout.decode()
    assert "tokens/s" in shown
    assert "0/1" in shown


async def test_without_a_server_every_endpoint_is_asked(server: tuple[str, Path]) -> None:
    done = await run("--config", str(server[1]), "--json")
    assert done.returncode == 0, done.stderr
    endpoints = {each["runtime"]: each for each in json.loads(done.stdout)["endpoints"]}
    assert endpoints["gpu"]["state"] == "healthy"
    assert endpoints["gpu"]["probe_s"] > 0
    assert endpoints["gone"]["state"] == "unhealthy"
    assert endpoints["gone"]["probe_s"] is None


@pytest.mark.parametrize(
    ("url", "token", "status", "said"),
    [
        ("{server}", "wrong", 1, b"Set ROUTER_MCP_TOKEN"),
        ("{server}/nowhere", TOKEN, 1, b"Correct --url"),
        ("http://127.0.0.1:9", "", 1, b"Start the server"),
        ("ftp://x", "", 2, b"Give one like"),
    ],
)
async def test_a_server_that_cannot_be_asked_is_said_in_a_sentence(
    server: tuple[str, Path], url: str, token: str, status: int, said: bytes
) -> None:
    done = await run("--url", url.format(server=server[0]), token=token)
    assert done.returncode == status
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


async def test_two_ways_to_show_it_at_once_are_refused() -> None:
    done = await run("--watch", "--json")
    assert done.returncode == 2


def watched(url: str) -> tuple[str, int]:
    """Run `status --watch` on a terminal until it has shown itself twice, and interrupt it."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "ROUTER_MCP_TOKEN": TOKEN, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    command = [*COMMAND, "--watch", "--url", url]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, until = b"", time.monotonic() + 60  # noqa: TID251 - a thread of its own, on the real clock
        while shown.count(b"Endpoints") < 2 and time.monotonic() < until:  # noqa: TID251 - as above
            if select.select([ours], [], [], 0.5)[0]:
                shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while select.select([ours], [], [], 0.5)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
        status = process.wait(30)
    os.close(ours)
    return shown.decode(errors="replace"), status


async def test_watching_keeps_the_tables_fresh_until_interrupted(server: tuple[str, Path]) -> None:
    shown, status = await to_thread.run_sync(watched, server[0])
    assert shown.count("Endpoints") >= 2
    assert "good" in shown
    assert "Traceback" not in shown
    assert status == 0
