"""A real Prometheus (Debian's), on the configuration that compose uses, with targets of the test."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import yaml

from tests.observability.sockets import free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "observability"
INSTALL = "is missing. Install it: apt-get install --no-install-recommends prometheus."
_NAME = re.compile(r"\b(?:router_mcp|vllm|process)[:_][a-z0-9_:]+")


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} {INSTALL}"
    return found


def names_in(expression: str) -> set[str]:
    """Return the metrics that an expression reads; what rules record is not one of them."""
    return {name for name in _NAME.findall(expression) if not name.startswith("router_mcp:")}


def rules() -> Iterator[dict[str, Any]]:
    for path in sorted((FOLDER / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


class Prometheus:
    """A running one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=30)

    async def get(self, path: str, **params: str) -> Any:
        response = await self._client.get(f"{self._url}/api/v1/{path}", params=params)
        answer = response.json()
        assert answer["status"] == "success", f"{params}: {answer.get('error')}"
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return found

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """Ask until there is an answer."""
        with anyio.fail_after(60):
            while not (found := await self.query(expression)):
                await anyio.sleep(0.2)
        return found

    async def ready(self) -> None:
        with anyio.fail_after(60):
            while True:
                try:
                    if (await self._client.get(f"{self._url}/-/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await anyio.sleep(0.1)

    async def aclose(self) -> None:
        await self._client.aclose()


def write_config(folder: Path, targets: Mapping[str, str], token: str) -> Path:
    """Write compose's own configuration with these jobs' targets instead of its own, and a faster clock."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]].removeprefix("http://")]}]
    (folder / "router-token").write_text(token)
    shutil.copytree(FOLDER / "rules", folder / "rules", dirs_exist_ok=True)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def prometheus(config: Path) -> AsyncGenerator[Prometheus]:
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    async with await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        running = Prometheus(f"http://127.0.0.1:{port}")
        try:
            await running.ready()
            yield running
        finally:
            await running.aclose()
            process.terminate()
