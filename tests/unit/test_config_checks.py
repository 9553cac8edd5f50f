"""What shows only when the sections of a policy are read together: above all, what could never fail over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.config.checks import is_loopback
from tests.policies import changed, complaints, load

BIG = "big: {runtime: gpu, context_window: 32768}"
GPU = 'endpoints: ["http://127.0.0.1:8000"]'
LAPTOP = 'endpoints: ["http://127.0.0.1:11434"]'
TASK = "models: [big, small]"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.3.4", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.com", False),
        ("evil.localhost", False),
        ("127.0.0.1.example.com", False),
        ("127.1", False),
        ("gpu", False),
        ("", False),
        (None, False),
    ],
)
def test_only_what_can_mean_nothing_but_this_machine_is_loopback(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_all_of_127_is_loopback(a: int, b: int, c: int) -> None:
    assert is_loopback(f"127.{a}.{b}.{c}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_an_ollama_on_loopback_needs_nothing(host: str) -> None:
    assert load(changed((LAPTOP, f'endpoints: ["http://{host}:11434"]')))


def test_an_ollama_that_others_could_reach_is_refused_unless_told() -> None:
    away = changed((LAPTOP, 'endpoints: ["http://laptop:11434"]'))
    assert complaints(away) == [
        "policy.yaml:8: runtimes.laptop.endpoints.0: Ollama has no authentication, so it is reached on loopback or "
        "through https. Use https, or say allow_insecure: true for a network that you trust."
    ]
    assert load(away.replace("kind: ollama", "kind: ollama\n    allow_insecure: true"))
    assert load(away.replace("http://laptop", "https://laptop"))


def test_a_vllm_has_authentication_of_its_own() -> None:
    assert load(changed((GPU, 'endpoints: ["http://gpu:8000"]')))


@pytest.mark.parametrize(
    "other", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://localhost:8000", "HTTP://LocalHost:8000"]
)
def test_the_same_endpoint_twice_in_one_runtime_is_refused(other: str) -> None:
    assert complaints(changed((GPU, f'endpoints: ["http://127.0.0.1:8000", "{other}"]'))) == [
        "policy.yaml:5: runtimes.gpu.endpoints.1: this endpoint already belongs to runtime 'gpu'. List a replica once."
    ]


def test_the_same_endpoint_in_two_runtimes_is_refused() -> None:
    assert complaints(changed((LAPTOP, GPU))) == [
        "policy.yaml:8: runtimes.laptop.endpoints.0: this endpoint already belongs to runtime 'gpu'. "
        "List a replica once."
    ]


@pytest.mark.parametrize("path", ["v1", "v1/", "api", "proxy/v1"])
def test_an_endpoint_that_ends_where_the_adapter_begins_is_refused(path: str) -> None:
    last = path.strip("/").split("/")[-1]
    lines = complaints(changed((GPU, f'endpoints: ["http://127.0.0.1:8000/{path}"]')))
    assert lines[0].endswith(f"an endpoint is the server's base URL, to which /{last} is added. Remove /{last}.")


def test_a_runtime_without_endpoints_is_refused_with_an_example() -> None:
    assert complaints(changed((GPU, "")))[0].endswith('Add endpoints: ["http://127.0.0.1:8000"].')
    assert complaints(changed((LAPTOP, "")))[0].endswith('Add endpoints: ["http://127.0.0.1:11434"].')


def test_an_embedded_runtime_has_no_endpoints() -> None:
    assert complaints(changed(("kind: vllm", "kind: embedded"))) == [
        "policy.yaml:5: runtimes.gpu.endpoints: the embedded runtime starts its own process; remove endpoints."
    ]
    assert load(changed(("kind: vllm", "kind: embedded"), (GPU, "threads: 2"))).runtimes["gpu"].concurrency == 2


@pytest.mark.parametrize(
    ("key", "allowed"), [("gguf: a.gguf", "embedded"), ("threads: 2", "embedded"), ("keep_alive: 5m", "ollama")]
)
def test_a_key_of_another_kind_of_runtime_is_refused(key: str, allowed: str) -> None:
    lines = complaints(changed((GPU, f"{GPU}\n    {key}")))
    name = key.split(":", maxsplit=1)[0]
    assert lines == [f"policy.yaml:6: runtimes.gpu.{name}: only runtimes of kind {allowed} take this; remove it."]


def test_names_that_lead_nowhere_are_refused_with_the_nearest() -> None:
    lines = complaints(changed((BIG, "big: {runtime: gpus, context_window: 32768}"), (TASK, "models: [bg, small]")))
    assert lines == [
        "policy.yaml:10: models.big.runtime: there is no runtime 'gpus'. Did you mean 'gpu'? There are: gpu, laptop.",
        "policy.yaml:14: tasks.reasoning.models.0: there is no model 'bg'. Did you mean 'big'? There are: big, small.",
    ]


def test_a_task_has_either_models_or_a_server() -> None:
    neither = complaints(changed((TASK, "description: nothing")))
    both = complaints(changed(("served_by: embeddings-mcp", "served_by: embeddings-mcp\n    models: [big]")))
    assert "policy.yaml:13: tasks.reasoning: a task has either models or served_by. Give it one of the two." in neither
    assert both == ["policy.yaml:15: tasks.embedding: a task has either models or served_by. Give it one of the two."]


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ((BIG, BIG), "[big, small, big]"),
        ((BIG, f"{BIG}\n  again: {{runtime: gpu, context_window: 32768, served_name: big}}"), "[big, again]"),
        (
            (BIG, f'{BIG}\n  again: {{runtime: laptop, context_window: 4096, served_name: "small:latest"}}'),
            "[small, again]",
        ),
    ],
    ids=["by name", "by served name", "by the tag that Ollama adds"],
)
def test_a_fallback_that_is_the_same_model_again_is_refused(change: tuple[str, str], models: str) -> None:
    lines = complaints(changed(change, (TASK, f"models: {models}")))
    assert len(lines) == 1
    assert "this is the same model on the same runtime as" in lines[0]
    assert lines[0].endswith("so it can never help. Remove one.")


def test_two_models_of_one_embedded_runtime_are_one_file_and_so_no_fallback() -> None:
    text = changed(("kind: vllm", "kind: embedded"), (GPU, "threads: 2"), ("{runtime: laptop", "{runtime: gpu"))
    assert "this is the same model on the same runtime as 'big'" in complaints(text)[0]


def test_a_tag_is_part_of_a_name_on_runtimes_that_add_none() -> None:
    again = f'{BIG}\n  again: {{runtime: gpu, context_window: 32768, served_name: "big:latest"}}'
    assert load(changed((BIG, again), (TASK, "models: [big, again]")))


def test_models_on_a_runtime_that_is_not_there_are_complained_of_once() -> None:
    lines = complaints(changed((BIG, "big: {runtime: none, context_window: 32768}"), (TASK, "models: [big, small]")))
    assert len(lines) == 1


def test_the_default_task_must_be_one_that_this_server_serves() -> None:
    unknown = complaints(changed(("task: reasoning", "task: reasonig")))
    elsewhere = complaints(changed(("task: reasoning", "task: embedding")))
    assert unknown == [
        "policy.yaml:18: defaults.task: there is no task 'reasonig'. Did you mean 'reasoning'? There are: reasoning."
    ]
    assert elsewhere == ["policy.yaml:18: defaults.task: the default task must have models. There are: reasoning."]
