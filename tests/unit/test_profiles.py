"""The policy files that ship for each size of machine: they load, and they say what the machine can do."""

from __future__ import annotations

import pytest

from router_mcp.config import load_config, profile_path
from router_mcp.config.checks import is_loopback
from router_mcp.config.policy_file import PolicyFile
from router_mcp.errors import ConfigError

PROFILES = ("dev-cpu", "dev-gpu", "staging", "production")
SHIPPED_TASKS = {"reasoning", "summarisation", "report", "triage", "chat", "embedding"}


def profile(name: str, **environ: str) -> PolicyFile:
    return load_config(profile_path(name), environ)


def kinds(policy: PolicyFile) -> set[str]:
    return {runtime.kind for runtime in policy.runtimes.values()}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_loads_without_any_variable_set(name: str) -> None:
    policy = profile(name)
    assert set(policy.tasks) >= SHIPPED_TASKS
    assert policy.tasks["embedding"].served_by == "embeddings-mcp"


@pytest.mark.parametrize("name", PROFILES)
def test_every_task_of_a_profile_has_a_fallback(name: str) -> None:
    policy = profile(name)
    assert all(len(policy.tasks[task].models) >= 2 for task in policy.generative_tasks())


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_stays_on_this_machine_until_told_otherwise(name: str) -> None:
    endpoints = [url for runtime in profile(name).runtimes.values() for url in runtime.endpoints]
    assert endpoints
    assert all(is_loopback(url.split("//")[1].split(":")[0]) for url in endpoints)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_refuses_an_ollama_that_anyone_on_the_network_could_use(name: str) -> None:
    with pytest.raises(ConfigError, match="loopback or through https"):
        profile(name, OLLAMA_URL="http://ollama.internal:11434")


@pytest.mark.parametrize("name", ["dev-cpu", "dev-gpu"])
def test_only_the_development_profiles_can_be_told_to_trust_a_private_network(name: str) -> None:
    policy = profile(name, OLLAMA_URL="http://ollama-proxy:11434", OLLAMA_ALLOW_INSECURE="true")
    assert policy.runtimes["ollama"].allow_insecure


def test_the_small_profile_needs_no_gpu() -> None:
    assert kinds(profile("dev-cpu")) == {"ollama"}


def test_the_workstation_profile_runs_qwen_on_vllm_and_falls_back_to_ollama() -> None:
    policy = profile("dev-gpu")
    for task in policy.generative_tasks():
        primary, *fallbacks = policy.tasks[task].models
        assert primary == "qwen2.5-14b-instruct"
        assert all(policy.runtime_of(model).kind == "ollama" for model in fallbacks)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_server_profiles_run_mixtral_first(name: str) -> None:
    policy = profile(name)
    assert {policy.tasks[task].models[0] for task in policy.generative_tasks()} == {"mixtral-8x7b-instruct"}
    assert policy.models["mixtral-8x7b-instruct"].context_window == 32768


def test_production_guards_what_decides_and_what_extracts() -> None:
    policy = profile("production")
    for task in ("triage", "extraction"):
        assert policy.tasks[task].safety_critical
        assert policy.tasks[task].temperature == 0
    assert policy.defaults.safety_critical_max_temperature <= 0.3


@pytest.mark.parametrize("name", ["dev-gpu", "staging", "production"])
def test_keys_are_named_never_written(name: str) -> None:
    for runtime in profile(name).runtimes.values():
        assert runtime.kind != "vllm" or runtime.api_key_env == "VLLM_API_KEY"
