"""Two router processes on one machine obey the same orders, given by a third: the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.edge_process.process import MODERN, ROOT
from tests.fake_vllm import FakeVllm
from tests.infra.nginx import free_port

pytestmark = pytest.mark.anyio

BOUND_S = 90
"""Only so that a broken test ends."""
PROMISED_S, SLOW_S = 2.0, 10.0
"""In which both must follow, and what a machine may take that is busy with other things. The promise itself is held on
a clock that jumps: `tests/unit/operations/test_{canary,teardown}.py`."""
OPERATOR, ACME = "operator-token-of-32-characters!", "acme-token-with-enough-letters"
POLICY = """\
# what serves what
version: 1
runtimes:
  gpu: {{kind: vllm, endpoints: ["{gpu}"]}} # now
  gpu-canary: {{kind: vllm, endpoints: ["{next}"]}} # next
models:
  big: {{runtime: gpu, context_window: 4096}}
tasks: {{reasoning: {{models: [big]}}}}
defaults: {{task: reasoning}}
rollout: {{min_calls: 5, first_token: 1000, tokens_per_s: 0.001}} # a busy machine's times mean nothing
"""
SUITE = """\
version: 1
prompts: {hello: {prompt: Say hello., matches: new}}
context_fill: 0
refuses_too_long: false
cancels: false
"""


@dataclass
class Machine:
    """Two fake GPUs, two routers, a policy file and a state folder."""

    folder: Path
    gpu: FakeVllm
    next: FakeVllm
    ports: tuple[int, int]
    environ: dict[str, str]

    async def call(self, port: int, prompt: str, token: str = OPERATOR) -> dict[str, Any]:
        """Call `generate` on one router, and return what came; an error fails the test."""
        params = {"name": "generate", "arguments": {"prompt": prompt}, "_meta": MODERN}
        headers = {
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {token}",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "generate",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        async with httpx.AsyncClient(trust_env=False, timeout=BOUND_S) as client:
            answer = await client.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=headers)
        data = answer.text.partition("data: ")[2] or answer.text
        result = json.loads(data)["result"]
        assert not result.get("isError"), result
        found: dict[str, Any] = result["structuredContent"]
        return found

    async def command(self, *arguments: str, expected: int = 0) -> dict[str, Any]:
        line = [sys.executable, "-m", "router_mcp", *arguments, "--json"]
        done = await anyio.run_process(line, env=self.environ, cwd=ROOT, check=False)
        assert done.returncode == expected, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@asynccontextmanager
async def machine(folder: Path) -> AsyncGenerator[Machine]:
    async with FakeVllm("from the old box").running() as gpu, FakeVllm("from the new box").running() as following:
        policy, tokens = folder / "models-policy.yaml", folder / "tokens.yaml"
        policy.write_text(POLICY.format(gpu=gpu.url, next=following.url))
        tokens.write_text(f"version: 1\ntenants: {{acme: {ACME}}}\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_MCP_")}
        environ = kept | {
            "ROUTER_MCP_CONFIG": str(policy),
            "ROUTER_MCP_STATE": str(folder / "state"),
            "ROUTER_MCP_TOKEN": OPERATOR,
            "ROUTER_MCP_TOKENS_FILE": str(tokens),
        }
        ports = (free_port(), free_port())
        servers = [_serve(port, environ, folder) for port in ports]
        try:
            for port in ports:
                await _healthy(port, folder)
            yield Machine(folder, gpu, following, ports, environ)
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait(BOUND_S)


def _serve(port: int, environ: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "router_mcp", "serve", "--transport", "http", "--port", str(port)]
    with (folder / f"{port}.log").open("wb") as log:
        return subprocess.Popen(line, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


async def _healthy(port: int, folder: Path) -> None:
    with anyio.move_on_after(BOUND_S):
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await anyio.sleep(0.05)
    raise AssertionError((folder / f"{port}.log").read_text())


async def followed(look: Callable[[], Awaitable[bool]]) -> float:
    """Wait until it is so, and return how long that took."""
    began = anyio.current_time()
    with anyio.fail_after(BOUND_S):
        while not await look():
            await anyio.sleep(0.05)
    return anyio.current_time() - began


async def both_followed(what: str, looks: list[Callable[[], Awaitable[bool]]]) -> None:
    """Have both routers follow an order that was given just now, and show how long that took."""
    took: list[float] = []

    async def wait(look: Callable[[], Awaitable[bool]]) -> None:
        took.append(await followed(look))

    async with anyio.create_task_group() as tasks:
        for look in looks:
            tasks.start_soon(wait, look)
    print(f"\nboth followed {what} within {max(took):.2f} s; promised are {PROMISED_S} s")  # noqa: T201 - a busy machine proves nothing, so it is shown
    assert max(took) < SLOW_S


async def test_both_follow_a_canary_from_its_start_to_its_promotion_and_back(tmp_path: Path) -> None:
    (tmp_path / "smoke.yaml").write_text(SUITE)
    async with machine(tmp_path) as here:
        before = Path(here.environ["ROUTER_MCP_CONFIG"]).read_text()
        assert (await here.command("canary", "start", "big", "--share", "50%"))["phase"] == "waiting"
        await here.command("canary", "promote", "big", "--dry-run", expected=1)
        smoked = await here.command("canary", "smoke", "big", "--suite", str(tmp_path / "smoke.yaml"))
        assert (smoked["phase"], [check["passed"] for check in smoked["checks"]]) == ("running", [True, True])

        for port in here.ports:
            await followed(partial(_is_split, here, port))
        await followed(partial(_is_promotable, here))
        done = await here.command("canary", "promote", "big")
        assert done["what"] == "promote"
        await both_followed("a promotion", [partial(_says, here, port, "from the new box") for port in here.ports])
        after = Path(here.environ["ROUTER_MCP_CONFIG"]).read_text()
        assert "  gpu: {kind: vllm" in after
        assert after.index(here.next.url) < after.index(here.gpu.url)
        assert after.count("#") == before.count("#")

        await here.command("canary", "rollback", "big")
        assert Path(here.environ["ROUTER_MCP_CONFIG"]).read_text() == before
        for port in here.ports:
            await followed(partial(_says, here, port, "from the old box"))
        status = await here.command("canary", "status", "big")
        assert [past["what"] for past in status["history"]] == ["promote", "rollback"]


async def _is_split(here: Machine, port: int) -> bool:
    """Tell whether a router gives the canary a part of its calls, and keeps a part."""
    models = {(await here.call(port, f"question {number}"))["model"] for number in range(24)}
    return models == {"big", "big-canary"}


async def _is_promotable(here: Machine) -> bool:
    status = await here.command("canary", "status", "big")
    return not status["canaries"][0]["objections"]


async def _says(here: Machine, port: int, text: str) -> bool:
    return {(await here.call(port, f"question {number}"))["text"] for number in range(6)} == {text}


async def test_both_follow_a_teardown_and_agree_on_the_new_salt(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        old = await _salts(here)
        assert len(old) == 1  # the secret was made by whoever came first, and kept
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_tear_down, here)
            await followed(partial(anyio.Path(tmp_path / "state" / "tenants.json").exists))
            await both_followed("a teardown", [partial(_salts_anew, here, port, old) for port in here.ports])
        assert (here.gpu.resets, here.next.resets) == (1, 1)
        new = await _salts(here)
        assert len(new) == 1
        assert not new & old
        audit = (tmp_path / "state" / "audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["action"] for line in audit] == [
            "tenant.teardown.begun",
            "tenant.teardown.endpoint",
            "tenant.teardown.endpoint",
            "tenant.teardown.ended",
        ]


async def _tear_down(here: Machine) -> None:
    assert (await here.command("tenant", "teardown", "acme", "--patience", "20"))["complete"]


async def _salts_anew(here: Machine, port: int, old: set[str | None]) -> bool:
    """Tell whether a router gives the tenant's calls another salt than the old one."""
    prompt = f"hello over {port}"
    await here.call(port, prompt, ACME)
    sent = next(body for body in reversed(here.gpu.sent) if body["messages"][-1]["content"] == prompt)
    return sent["cache_salt"] not in old


async def _salts(here: Machine) -> set[str | None]:
    """Return the salts that both routers give to the tenant's calls now."""
    here.gpu.sent.clear()
    for port in here.ports:
        await here.call(port, "hello", ACME)
    return set(here.gpu.salts())
