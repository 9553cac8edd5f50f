"""The command lines and variables of every container that runs this project, given to its real commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.infra import served, units
from tests.infra.charts import Manifest, container, environment, only, pod_specs, profile_values, render, secrets_of
from tests.infra.compose import command_of, services

MODULES = {"router-mcp": "router_mcp", "embeddings-mcp": "embeddings_mcp"}
POD_IP = "10.1.2.3"
CHART = "router-mcp"
VALUES = profile_values(CHART, "production")


def pod(kind: str, name: str, container_name: str) -> Manifest:
    return container(pod_specs(only(render(CHART, VALUES), kind, name))[0], container_name)


# The chart's servers are started for real below.
COMMANDS = [
    pytest.param(["router-mcp", *command_of(services()["router"])], id="compose router"),
    pytest.param(["embeddings-mcp", *command_of(services()["embeddings"])], id="compose embeddings"),
    pytest.param(["router-mcp", *pod("CronJob", "mixtral-router-mcp-warm", "warm")["args"]], id="chart warm"),
    pytest.param(units.exec_start("router-mcp-warm.service"), id="systemd warm"),
    pytest.param(units.cron_command("router-mcp-warm.cron"), id="cron warm"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_takes_the_arguments_that_a_container_gives_it(command: list[str]) -> None:
    line = [sys.executable, "-m", MODULES[command[0]], *command[1:], "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, cwd=served.ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("server", ["router", "embeddings"])
async def test_a_server_starts_as_its_pod_starts_it_and_answers_probes_and_prometheus(
    server: str, tmp_path: Path
) -> None:
    name = "mixtral-router-mcp" + ("" if server == "router" else "-embeddings")
    found = pod("Deployment", name, server)
    environ = served.environment(**dict.fromkeys(secrets_of(found), served.TOKEN))
    environ |= {key: value.replace("$(POD_IP)", POD_IP) for key, value in environment(found).items()}
    variable = next(key for key in environ if key.endswith("_MCP_CONFIG"))
    file = tmp_path / Path(environ[variable]).name
    config_map = f"{name}-policy" if server == "router" else name
    file.write_text(only(render(CHART, VALUES), "ConfigMap", config_map)["data"][file.name])
    environ[variable] = str(file)

    line = [sys.executable, "-m", MODULES[found["command"][0]], *found["args"]]
    with served.started(line, environ, tmp_path / "log") as running:
        async with running.client() as client:
            by_address = {"host": f"{POD_IP}:8080"}  # what the kubelet and Prometheus call it
            alive = await client.get(found["livenessProbe"]["httpGet"]["path"], headers=by_address)
            assert alive.status_code == 200
            with anyio.fail_after(10):  # the embedded embeddings are there, and no runtime is
                while await readiness(client, found, by_address) != (503 if server == "router" else 200):
                    await anyio.sleep(0.1)
            assert (await client.get("/metrics", headers=by_address)).status_code == 401
            assert (await client.get("/metrics", headers={**by_address, **served.BEARER})).status_code == 200


async def readiness(client: httpx.AsyncClient, container: dict[str, Any], headers: dict[str, str]) -> int:
    path = container["readinessProbe"]["httpGet"]["path"]
    return (await client.get(path, headers=headers)).status_code
