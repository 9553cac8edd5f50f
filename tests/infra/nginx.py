"""The deployed proxy, run for real: the template that ships, the variables of a deployment, and Debian's nginx."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.infra.charts import Manifest, container, environment, nested, pod_specs, render
from tests.infra.compose import services

TEMPLATE = Path(__file__).parents[2] / "infra" / "proxy" / "runtime-proxy.conf.template"
START_S = 10.0

# As nginx's unprivileged image has it, but with every path inside the test's own folder.
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/runtime-proxy.conf;
}}
"""


def deployments() -> dict[str, dict[str, str]]:
    """Return the proxy's variables in every place where a file of ours deploys it."""

    def of(chart: str, name: str, **values: bool) -> dict[str, str]:
        workload = next(m for m in render(chart, nested(**values)) if m["kind"] == "Deployment" and _has(m, name))
        return environment(container(pod_specs(workload)[0], name))

    compose = services()
    return {
        "compose vllm": compose["vllm-proxy"]["environment"],
        "compose ollama": compose["ollama-proxy"]["environment"],
        "helm vllm": of("vllm-runtime", "proxy"),
        "helm vllm with reset": of("vllm-runtime", "proxy", promptCaching__reset=True),
        "helm ollama": of("router-mcp", "ollama-proxy"),
    }


def _has(workload: Manifest, name: str) -> bool:
    return name in {each["name"] for each in pod_specs(workload)[0].get("initContainers", [])}


def filled_in(variables: dict[str, str]) -> str:
    """Fill the template in as nginx's image does: what the filter lets through, and nothing else."""
    allowed = re.compile(variables["NGINX_ENVSUBST_FILTER"])
    text = TEMPLATE.read_text()
    for name, value in variables.items():
        if allowed.search(name):
            text = text.replace(f"${{{name}}}", value)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(variables: dict[str, str], upstream: str) -> Iterator[int]:
    """Run nginx with these variables in front of `upstream` (host:port), and yield the port that it answers on."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert binary, (
        "nginx is missing. Install it: apt-get install --no-install-recommends nginx (or brew install nginx)."
    )
    port = free_port()
    local = variables | {"PROXY_LISTEN": f"127.0.0.1:{port}", "PROXY_UPSTREAM": upstream, "PROXY_RESOLVER": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nginx's workers are nobody's
        (Path(folder) / "runtime-proxy.conf").write_text(filled_in(local))
        main = Path(folder) / "nginx.conf"
        main.write_text(MAIN.format(folder=folder))
        with (Path(folder) / "log").open("w+b") as log:
            process = subprocess.Popen([binary, "-p", folder, "-c", str(main), "-e", "stderr"], stderr=log)
            try:
                _await_port(process, port, Path(folder) / "log")
                yield port
            finally:
                process.terminate()
                process.wait(10)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.perf_counter() + START_S
    while time.perf_counter() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)  # noqa: TID251 - a process of the operating system, on the real clock
    raise AssertionError(f"nginx did not start:\n{log.read_text()}")
