"""The compose files: their shape, what they publish, what they run as, and the flags that they pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from yamllint import linter  # type: ignore[import-untyped]  # it has no stubs
from yamllint.config import YamlLintConfig  # type: ignore[import-untyped]  # it has no stubs

from router_mcp.config import load_config
from router_mcp.edge.bind import check_bind
from tests.infra.charts import flags, merged
from tests.infra.compose import FILES, FOLDER, SECRETS, MissingVariableError, command_of, load, services, variables

ALL = services()
ENGINES = ("ollama", "vllm")
ROOT = FOLDER.parents[1]


def env(name: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    return {key: str(value) for key, value in services(environ)[name].get("environment", {}).items()}


# --- shape


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_files_fit_the_compose_specification() -> None:
    found = check(*FILES)
    assert found.returncode == 0, found.stdout


def test_the_check_would_see_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text("services: {a: {image: b, pots: []}}")
    assert "pots" in check(tmp_path / "compose.yml").stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_key_stands_twice(file: Path) -> None:
    config = YamlLintConfig("rules: {key-duplicates: enable, anchors: {forbid-unused-anchors: true}}")
    assert [problem.desc for problem in linter.run(file.read_text(), config)] == []


def test_the_main_file_includes_the_others_and_they_do_not_contradict_each_other() -> None:
    """Compose refuses a resource that two included files define differently."""
    main, *others = (load(file) for file in FILES)
    assert main["include"] == [file.name for file in FILES[1:]]
    assert {file["name"] for file in (main, *others)} == {"router-mcp"}
    for kind in ("services", "volumes", "networks", "configs"):
        seen: dict[str, Any] = {}
        for file in others:
            for name, body in file.get(kind, {}).items():
                assert kind != "services" or name not in seen
                assert seen.setdefault(name, body) == body


def test_each_file_is_complete_in_itself() -> None:
    """What JSON Schema does not see: names that lead nowhere."""
    for file in (load(path) for path in FILES[1:]):
        for service in file["services"].values():
            assert set(service["networks"]) <= file["networks"].keys()
            assert set(service.get("depends_on", {})) <= file["services"].keys()
            assert {config["source"] for config in service.get("configs", [])} <= file.get("configs", {}).keys()
            named = [volume.split(":")[0] for volume in service.get("volumes", [])]
            assert {name for name in named if not name.startswith(".")} <= file.get("volumes", {}).keys()


def test_every_file_that_is_mounted_is_in_the_repository() -> None:
    for service in ALL.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and source != "../grafana":  # dashboards come with the observability chart
                assert (FOLDER / source).resolve().exists(), source
        build = service.get("build")
        if build:
            assert (FOLDER / build["context"] / build["dockerfile"]).resolve().is_file()


# --- what is published


def published() -> dict[str, list[str]]:
    return {name: service["ports"] for name, service in ALL.items() if service.get("ports")}


def test_every_port_is_published_on_loopback_only() -> None:
    assert published()
    for ports in published().values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_ollama_is_published_on_11434_through_its_proxy() -> None:
    assert published()["ollama-proxy"] == ["127.0.0.1:11434:11434"]
    assert "ollama" not in published()


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.rsplit(":", 1)[0] for ports in published().values() for port in ports]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_shares_a_network_with_its_proxy_and_nobody_else(engine: str) -> None:
    assert ALL[engine]["networks"] == [engine]
    others = {name for name, service in ALL.items() if engine in service["networks"]} - {engine}
    assert others <= {f"{engine}-proxy", f"{engine}-models"}


# --- profiles


def test_without_a_profile_a_laptop_gets_ollama_and_both_servers() -> None:
    started = {name for name, service in ALL.items() if not service.get("profiles")}
    assert started == {"ollama", "ollama-proxy", "ollama-models", "router", "embeddings"}


def test_vllm_and_the_observers_come_by_profile() -> None:
    by_profile = {name: service["profiles"] for name, service in ALL.items() if service.get("profiles")}
    assert {name for name, profiles in by_profile.items() if profiles == ["vllm"]} == {"vllm", "vllm-proxy"}
    observers = {name for name, profiles in by_profile.items() if profiles == ["observability"]}
    assert observers == {"prometheus", "grafana", "otel-collector", "jaeger"}


# --- what it runs as


@pytest.mark.parametrize("name", ALL)
def test_a_service_runs_without_root_and_without_rights(name: str) -> None:
    service = ALL[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("network_mode") is None
    user = service.get("user")
    if user is None:
        dockerfile = (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).read_text()
        user = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)[-1]
    assert int(user.split(":")[0]) > 0


@pytest.mark.parametrize("name", ALL)
def test_a_service_is_bounded_and_comes_back(name: str) -> None:
    service = ALL[name]
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() >= {"cpus", "memory"}
    assert service["restart"] == ("on-failure:3" if name == "ollama-models" else "unless-stopped")
    assert service["logging"]["options"]["max-size"]
    assert "healthcheck" in service or _healthcheck_in_image(service)


def _healthcheck_in_image(service: dict[str, Any]) -> bool:
    if "build" not in service:
        return False
    return "HEALTHCHECK" in (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).read_text()


@pytest.mark.parametrize("name", sorted(set(ALL) - {"vllm"}))
def test_the_files_of_a_container_are_read_only(name: str) -> None:
    """All but vLLM's, whose image compiles kernels into places of its own."""
    assert ALL[name]["read_only"] is True


def test_configuration_is_mounted_read_only() -> None:
    for service in ALL.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert volume.endswith(":ro"), volume


def test_images_have_versions() -> None:
    for service in ALL.values():
        assert re.search(r":[v\w]*[\w.-]+$", service["image"])
        assert not service["image"].endswith(":latest")


def test_operators_orders_outlive_the_container_in_a_folder_that_its_user_owns() -> None:
    router = ALL["router"]
    folder = router["environment"]["ROUTER_MCP_STATE"]
    assert f"router-state:{folder}" in router["volumes"]
    image = (ROOT / "infra/docker/Dockerfile").read_text()
    assert f"install -d -m 0700 -o 10001 -g 10001 {folder}" in image


def test_weights_live_in_named_volumes() -> None:
    assert ALL["ollama"]["volumes"] == ["ollama:/var/lib/ollama"]
    assert ALL["vllm"]["volumes"] == ["vllm-cache:/home/vllm/.cache"]


# --- vLLM


def vllm_flags(environ: dict[str, str] | None = None) -> dict[str, list[str]]:
    return flags(command_of(services(environ)["vllm"]))


def test_guided_decoding_is_pinned_and_prompt_caching_on() -> None:
    found = vllm_flags()
    assert found["--structured-outputs-config"] == ['{"backend":"guidance","disable_any_whitespace":true}']
    assert found["--enable-prefix-caching"] == []


def test_one_variable_sets_tensor_parallelism_and_the_gpus_with_it() -> None:
    for size in ("1", "4"):
        environ = SECRETS | ({"VLLM_TENSOR_PARALLEL_SIZE": size} if size != "1" else {})
        service = services(environ)["vllm"]
        assert vllm_flags(environ)["--tensor-parallel-size"] == [size]
        device = service["deploy"]["resources"]["reservations"]["devices"][0]
        assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", size, ["gpu"])


def test_vllm_is_built_on_its_own_image_at_a_pinned_version() -> None:
    build = ALL["vllm"]["build"]
    assert build["args"] == {"VLLM_VERSION": "v0.32.0"}
    dockerfile = (FOLDER / build["context"] / build["dockerfile"]).read_text()
    assert "FROM vllm/vllm-openai:${VLLM_VERSION}" in dockerfile
    assert "ARG VLLM_VERSION=v0.32.0" in dockerfile


def test_vllm_finishes_calls_in_flight_before_it_is_killed() -> None:
    grace = int(ALL["vllm"]["stop_grace_period"].removesuffix("s"))
    assert grace > int(vllm_flags()["--shutdown-timeout"][0]) > 120


def test_the_model_of_the_workstation_fits_the_policy_of_the_workstation() -> None:
    policy = load_config(ROOT / "configs/profiles/dev-gpu.yaml", {})
    served = vllm_flags()["--served-model-name"][0]
    assert served in policy.models
    assert policy.models[served].context_window == int(vllm_flags()["--max-model-len"][0])


# --- the servers


@pytest.mark.parametrize("profile", ["dev-cpu", "dev-gpu"])
def test_the_routers_policy_loads_with_the_variables_that_compose_sets(profile: str) -> None:
    environ = env("router", SECRETS | {"ROUTER_PROFILE": profile})
    mounted = f"/etc/router-mcp/profiles/{profile}.yaml"
    assert environ["ROUTER_MCP_CONFIG"] == mounted
    policy = load_config(ROOT / "configs/profiles" / Path(mounted).name, environ)
    for runtime in policy.runtimes.values():
        for url in runtime.endpoints:
            host, port = url.removeprefix("http://").split(":")
            assert "routers" in ALL[host]["networks"]
            assert ALL[host]["ports"][0].endswith(f":{port}")


@pytest.mark.parametrize(("name", "prefix"), [("router", "ROUTER_MCP"), ("embeddings", "EMBEDDINGS_MCP")])
def test_a_server_agrees_to_start_with_its_command_and_variables(name: str, prefix: str) -> None:
    host = flags(command_of(ALL[name]))["--host"][0]
    bind = check_bind(host, env(name), prefix=prefix)
    assert bind.tokens
    assert bind.names.host_allowed(f"{name}:8080")  # Prometheus
    assert bind.names.host_allowed("127.0.0.1:8080")  # a client on this machine


def test_secrets_have_no_default_and_compose_stops_without_them() -> None:
    for name in SECRETS:
        with pytest.raises(MissingVariableError, match=name):
            services({key: value for key, value in SECRETS.items() if key != name})


def test_traces_would_reach_the_collector() -> None:
    assert env("router")["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector:4318"
    assert set(ALL["router"]["networks"]) & set(ALL["otel-collector"]["networks"])


# --- .env


def example() -> dict[str, str]:
    lines = (FOLDER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_has_every_variable_with_its_default() -> None:
    wanted: dict[str, str | None] = {}
    for file in FILES:
        wanted |= variables(file)
    given = example()
    assert given.keys() == wanted.keys() | {"COMPOSE_PROFILES"}
    assert {name: given[name] for name, default in wanted.items() if default is not None} == {
        name: default for name, default in wanted.items() if default is not None
    }


def test_every_variable_of_the_example_is_explained() -> None:
    block: list[str] = []
    for line in (FOLDER / ".env.example").read_text().splitlines():
        if not line:
            block = []
        elif line.startswith("#"):
            block.append(line)
        else:
            assert block, line


def test_a_new_env_has_fresh_secrets_that_only_its_owner_reads(tmp_path: Path) -> None:
    for name in ("new-env.sh", ".env.example"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    script = ["sh", str(tmp_path / "new-env.sh")]
    assert subprocess.run(script, check=False, timeout=10, capture_output=True).returncode == 0
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line and line[0] != "#")
    fresh = {name: made[name] for name in ("ROUTER_MCP_SALT_SECRET", *SECRETS)}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in fresh.values())
    assert len(set(fresh.values())) == len(fresh)
    assert merged(made, dict.fromkeys(fresh, "")) == example()
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    services(made)

    again = subprocess.run(script, check=False, timeout=10, capture_output=True, text=True)
    assert again.returncode == 1
    assert "already there" in again.stderr


def test_git_ignores_the_file_with_the_secrets() -> None:
    assert (FOLDER / ".gitignore").read_text().split() == [".env"]


# --- the model job


def pull(tmp_path: Path, wanted: str, *, there: str = "", fails: str = "-") -> subprocess.CompletedProcess[str]:
    """Run the job with an `ollama` that only notes what it is told."""
    fake = tmp_path / "ollama"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = show ] && { case " $THERE " in *" $2 "*) exit 0;; esac; exit 1; }\n'
        'echo "$*" >>"$LOG"\n[ "$2" != "$FAILS" ]\n'
    )
    fake.chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    environ |= {"OLLAMA_MODELS_WANTED": wanted, "THERE": there, "FAILS": fails}
    script = ["sh", str(FOLDER / "pull-models.sh")]
    return subprocess.run(script, env=environ, capture_output=True, text=True, check=False, timeout=10)


def test_missing_models_are_pulled_and_named_as_the_policy_names_them(tmp_path: Path) -> None:
    done = pull(tmp_path, "a=lib/a:1 b=b c=lib/c", there="c")
    assert done.returncode == 0
    assert (tmp_path / "log").read_text().splitlines() == ["pull lib/a:1", "cp lib/a:1 a", "pull b"]


def test_one_model_that_cannot_be_pulled_does_not_keep_the_others_away(tmp_path: Path) -> None:
    done = pull(tmp_path, "a=lib/a b=lib/b", fails="lib/a")
    assert done.returncode == 1
    assert "a: could not be pulled from lib/a" in done.stderr
    assert "cp lib/b b" in (tmp_path / "log").read_text()


def test_the_job_pulls_what_the_routers_policies_need() -> None:
    wanted = {pair.split("=")[0] for pair in env("ollama-models")["OLLAMA_MODELS_WANTED"].split()}
    for profile in ("dev-cpu", "dev-gpu"):
        models = yaml.safe_load((ROOT / f"configs/profiles/{profile}.yaml").read_text())["models"]
        assert {name for name, model in models.items() if model["runtime"] == "ollama"} <= wanted
