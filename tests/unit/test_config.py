"""What a policy file may say: what is refused, where, and with which remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from router_mcp.config import default_path, load_config, profile_path, shipped
from router_mcp.errors import ConfigError
from tests.policies import GOOD, changed, complaints, load

BIG = "big: {runtime: gpu, context_window: 32768}"
GPU = 'endpoints: ["http://127.0.0.1:8000"]'
LAPTOP = 'endpoints: ["http://127.0.0.1:11434"]'
TASK = "models: [big, small]"


def test_the_small_policy_of_these_tests_is_good() -> None:
    policy = load()
    assert policy.tasks["reasoning"].models == ("big", "small")
    assert policy.runtime_of("small").kind == "ollama"
    assert policy.served_name("small") == "small"
    assert policy.generative_tasks() == ("reasoning",)


def test_what_the_file_does_not_say_has_the_default_of_the_contract() -> None:
    policy = load()
    assert (policy.timeouts.interactive, policy.timeouts.long_form) == (30, 120)
    assert (policy.defaults.temperature, policy.defaults.safety_critical_max_temperature) == (0.7, 0.3)
    assert (policy.health.demote_after, policy.health.reinstate_after) == (300, 3)
    assert policy.runtimes["gpu"].health_path == "/healthz"
    assert policy.runtimes["gpu"].concurrency == 64
    assert policy.runtimes["laptop"].concurrency == 4
    assert policy.deadline("reasoning") == 30


def test_a_file_says_otherwise() -> None:
    policy = load(
        changed(
            (TASK, f"{TASK}\n    timeout: long_form"),
            (BIG, "big: {runtime: gpu, context_window: 32768, served_name: org/big-v1}"),
            (GPU, f"{GPU}\n    max_concurrency: 2"),
        )
    )
    assert policy.deadline("reasoning") == 120
    assert policy.served_name("big") == "org/big-v1"
    assert policy.runtimes["gpu"].concurrency == 2


def test_a_policy_cannot_be_changed_once_it_is_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().defaults.task = "other"


def test_a_policy_survives_being_shown_and_read_again() -> None:
    policy = load()
    assert type(policy).model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("runtimes:", "runtime:"), "policy.yaml:2: runtime: unknown key. Did you mean 'runtimes'? Known keys here: "),
        (("kind: vllm", "kind: vllm\n    health-path: /"), "policy.yaml:5: runtimes.gpu.health-path: unknown key. "),
        (
            ("{runtime: laptop, ", "{runtime: laptop, window: 4, "),
            "policy.yaml:11: models.small.window: unknown key. Did you mean 'context_window'? Known keys here: runtime",
        ),
        (("{runtime: gpu, context_window: 32768}", "{}"), "policy.yaml:10: models.big.runtime: this key is missing."),
        (("32768", '"32768"'), 'context_window: a whole number belongs here, without quotes (it is "32768").'),
        (("32768", "32768.5"), "context_window: a whole number belongs here, without quotes (it is 32768.5)."),
        (("32768", "true"), "context_window: a whole number belongs here, without quotes (it is true)."),
        (("32768", "12"), "models.big.context_window: this should be greater than or equal to 128 (it is 12)."),
        (("32768", "[1]"), "models.big.context_window: a whole number belongs here, without quotes."),
        (("kind: vllm", "kind: vlm"), "this should be 'vllm', 'ollama' or 'embedded' (it is \"vlm\")."),
        (("kind: vllm", "kind: 3"), "policy.yaml:4: runtimes.gpu.kind: this should be 'vllm', 'ollama' or 'embedded'"),
        (
            (TASK, "models: big"),
            'policy.yaml:14: tasks.reasoning.models: a list belongs here, such as [a, b] (it is "b',
        ),
        ((TASK, "models: [1, small]"), "tasks.reasoning.models.0: text belongs here; put it in quotes (it is 1)."),
        ((BIG, "big: gpu"), 'policy.yaml:10: models.big: keys and values belong here (it is "gpu").'),
        ((BIG, "big:"), "policy.yaml:10: models.big: keys and values belong here."),
        (("version: 1", "version: 2"), "policy.yaml:1: version: this should be 1 (it is 2)."),
        (("version: 1\n", ""), "policy.yaml:1: version: this key is missing. Add 'version'."),
        (("  task: reasoning", ""), "defaults: this key is missing. Add 'defaults'."),
        ((TASK, f"{TASK}\n    safety_critical: yes"), 'true or false belongs here, without quotes (it is "yes").'),
        ((TASK, f"{TASK}\n    temperature: warm"), 'a number belongs here, without quotes (it is "warm").'),
        ((TASK, f"{TASK}\n    temperature: .nan"), 'a number belongs here, without quotes (it is ".nan").'),
        ((TASK, f"{TASK}\n    temperature: 3"), "this should be less than or equal to 2 (it is 3)."),
        ((GPU, 'endpoints: ["http://127.0.0.1:8000"]\n    keep_alive: 1.5'), "runtimes.gpu.keep_alive: a duration has"),
        ((GPU, f"{GPU}\n    keep_alive: true"), "policy.yaml:6: runtimes.gpu.keep_alive: a duration has a unit"),
        ((GPU, f"{GPU}\n    keep_alive: '300'"), "such as 30m; without quotes, 300 is in seconds and -1 is for ever."),
        ((GPU, f"{GPU}\n    health_path: healthz"), "health_path: a path starts with a slash and has no spaces"),
        ((GPU, f"{GPU}\n    health_path: '/a b'"), "health_path: a path starts with a slash and has no spaces"),
        (("  gpu:", "  'g p u':"), "policy.yaml:3: runtimes.g p u: a name begins with a letter or digit and has"),
        (("  gpu:", f"  {'g' * 129}:"), "and has letters, digits and . _ : / - (up to 128)."),
    ],
)
def test_a_wrong_value_is_said_with_its_line_its_key_and_a_remedy(change: tuple[str, str], said: str) -> None:
    lines = complaints(changed(change))
    assert any(said in line for line in lines), lines
    assert all(line.startswith("policy.yaml:") for line in lines)


@pytest.mark.parametrize(("section", "following"), [("runtimes", "models"), ("models", "tasks"), ("tasks", "defaults")])
def test_an_empty_section_is_refused(section: str, following: str) -> None:
    before, after = GOOD.index(f"\n{section}:"), GOOD.index(f"\n{following}:")
    lines = complaints(f"{GOOD[:before]}\n{section}: {{}}{GOOD[after:]}")
    assert any(line.endswith(f"{section}: this must not be empty.") for line in lines), lines


def test_every_problem_of_a_file_is_said_at_once() -> None:
    lines = complaints(changed(("32768", "few"), ("4096", "fewer"), ("task: reasoning", "tasks: reasoning")))
    assert [line.split(": ", maxsplit=1)[0] for line in lines] == [
        "policy.yaml:10",
        "policy.yaml:11",
        "policy.yaml:17",
        "policy.yaml:18",
    ]


def test_a_key_without_a_value_counts_as_absent() -> None:
    policy = load(changed(("kind: vllm", "kind: vllm\n    max_concurrency:")) + "health:\n", GGUF="")
    assert policy.runtimes["gpu"].concurrency == 64
    assert policy.health.interval == 10


def test_a_variable_that_gives_nothing_counts_as_absent() -> None:
    text = changed(("kind: vllm", "kind: vllm\n    api_key_env: ${NAME_OF_KEY:-}"))
    assert load(text).runtimes["gpu"].api_key_env is None
    assert load(text, NAME_OF_KEY="KEY").runtimes["gpu"].api_key_env == "KEY"


def test_an_unknown_key_without_a_value_is_still_unknown() -> None:
    assert complaints(GOOD + "helth:\n")[0].startswith("policy.yaml:19: helth: unknown key. Did you mean 'health'?")


@pytest.mark.parametrize(
    "endpoints",
    [
        '["http://user:hunter2@127.0.0.1:8000"]',
        '["http://hunter2@127.0.0.1"]',
        '["http://:hunter2@127.0.0.1"]',
        '["http://user:hun/ter2@127.0.0.1:8000"]',
        '["http://user:hunter2@[::1"]',
        '["http://user:hunter2@127.0.0.1:port"]',
        '["http://user:hunter2@ho\\u2100st"]',
        '["http://127.0.0.1:8000?key=hunter2"]',
        '["http://127.0.0.1:8000#hunter2"]',
        '["ftp://user:hunter2@127.0.0.1"]',
        '["http://127.0.0.1:8000/ hunter2"]',
        '"http://user:hunter2@127.0.0.1:8000"',
        "http://user:hunter2@127.0.0.1:8000",
        '{a: "http://user:hunter2@127.0.0.1:8000"}',
        '["${URL}"]',
        "${URL}",
        '["${UNSET_URL:-http://user:hunter2@h}"]',
        "${UNSET_URL:-http://user:hunter2@h}",
    ],
)
def test_credentials_in_a_url_are_refused_and_never_shown(endpoints: str) -> None:
    lines = complaints(changed((GPU, f"endpoints: {endpoints}")), URL="http://user:hunter2@gpu:8000")
    assert lines
    assert not any("hunter2" in line or "ter2" in line or "user" in line for line in lines)


@pytest.mark.parametrize("written", ["sk-hunter2", '"sk-hunter2"', "${KEY}", "hunter2 hunter2"])
def test_a_key_where_its_variable_should_be_named_is_refused_and_never_shown(written: str) -> None:
    lines = complaints(changed((GPU, f"{GPU}\n    api_key_env: {written}")), KEY="sk-hunter2")
    assert "never write the key here" in lines[0]
    assert "hunter2" not in lines[0]


def test_a_value_that_came_from_a_variable_is_never_shown() -> None:
    text = changed(("32768", "'${WINDOW}'"), ("kind: vllm", "kind: ${KIND:-hunter3}"))
    lines = complaints(text, WINDOW="hunter2")
    assert any("(it comes from WINDOW or its default)" in line for line in lines)
    assert any("(it comes from KIND or its default)" in line for line in lines)
    assert not any("hunter" in line for line in lines)


def test_a_long_text_is_not_repeated() -> None:
    assert "xxx" not in complaints(changed(("32768", "x" * 100)))[0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://LOCALHOST:8000", "http://localhost:8000"),
        ("HTTP://gpu:80", "http://gpu"),
        ("https://gpu:443/a/B//", "https://gpu/a/B"),
        ("https://gpu:8443", "https://gpu:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://gpu:", "http://gpu"),
    ],
)
def test_an_endpoint_has_one_spelling(written: str, read: str) -> None:
    assert load(changed((GPU, f'endpoints: ["{written}"]'))).runtimes["gpu"].endpoints == (read,)


@pytest.mark.parametrize(
    "url",
    ["", "gpu:8000", "//gpu", "http://", "http:///x", "http://gpu:0", "http://gpu:99999", "http://g pu", "ws://gpu"],
)
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    assert "such as http://127.0.0.1:8000" in complaints(changed((GPU, f'endpoints: ["{url}"]')))[0]


@pytest.mark.parametrize("value", ["30m", "1h30m", "-1", "300", "-1s", "1.5h"])
def test_an_ollama_keeps_models_loaded_as_its_own_option_says(value: str) -> None:
    assert load(changed((LAPTOP, f"{LAPTOP}\n    keep_alive: {value}"))).runtimes["laptop"].keep_alive is not None


def test_another_server_than_the_embeddings_server_is_unknown() -> None:
    assert "this should be 'embeddings-mcp'" in complaints(changed(("embeddings-mcp", "other")))[0]


@pytest.mark.parametrize(
    ("name", "served_name", "family"),
    [
        ("mixtral-8x7b-instruct", None, "mistral"),
        ("mistral-nemo", None, "mistral"),
        ("qwen2.5-14b-instruct", None, "chatml"),
        ("llama3.1-8b-instruct", None, "llama3"),
        ("Meta-Llama-3-70B", None, "llama3"),
        ("phi3-mini-4k", None, "phi3"),
        ("gemma-2-9b-it", None, "gemma"),
        ("deepseek-r1-distill-llama3", None, "deepseek"),
        ("smollm2-135m-instruct", None, "chatml"),
        ("hermes-3-llama-3.1", None, "chatml"),
        ("dolphin-mixtral", None, "chatml"),
        ("nemotron-4-340b", None, "any"),
        ("mini-model", None, "any"),
        ("house-model", "org/Qwen2.5-7B", "chatml"),
        ("house-model", None, "any"),
    ],
)
def test_the_template_family_follows_from_the_name(name: str, served_name: str | None, family: str) -> None:
    served = f", served_name: {served_name}" if served_name else ""
    text = changed(
        (BIG, f"{name}: {{runtime: gpu, context_window: 32768{served}}}"), (TASK, f"models: [{name}, small]")
    )
    assert load(text).family(name) == family


def test_the_template_family_can_be_said() -> None:
    assert load(changed((BIG, BIG.replace("}", ", family: gemma}")))).family("big") == "gemma"


def test_load_config_reads_a_file_with_the_environment_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(changed((GPU, 'endpoints: ["${GPU_URL}"]')), encoding="utf-8")
    assert load_config(path, {"GPU_URL": "http://gpu"}).runtimes["gpu"].endpoints == ("http://gpu",)
    assert load_config(str(path), {"GPU_URL": "http://other"}).runtimes["gpu"].endpoints == ("http://other",)


def test_load_config_raises_for_what_shows_only_when_sections_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(changed(("task: reasoning", "task: none")), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"policy\.yaml:18: defaults\.task: there is no task 'none'"):
        load_config(path, {})


def test_load_config_uses_the_environment_of_the_process_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_URL", "http://from-the-process")
    path = tmp_path / "policy.yaml"
    path.write_text(changed((GPU, 'endpoints: ["${GPU_URL}"]')), encoding="utf-8")
    assert load_config(path).runtimes["gpu"].endpoints == ("http://from-the-process",)


def test_the_policy_in_force_is_the_named_one_else_the_one_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path({"ROUTER_MCP_CONFIG": "/etc/policy.yaml"}) == Path("/etc/policy.yaml")
    assert default_path({"ROUTER_MCP_CONFIG": ""}) == shipped("router/models-policy.yaml")
    monkeypatch.setenv("ROUTER_MCP_CONFIG", "/etc/other.yaml")
    assert default_path() == Path("/etc/other.yaml")


def test_the_policy_that_ships_routes_as_the_contract_says() -> None:
    policy = load_config(default_path({}), {})
    assert policy.tasks["reasoning"].models == ("mixtral-8x7b-instruct", "llama3.1-8b-instruct")
    assert policy.tasks["summarisation"].models == ("qwen2.5-14b-instruct", "phi3-mini-4k")
    assert policy.tasks["embedding"].served_by == "embeddings-mcp"
    windows = {name: (policy.runtime_of(name).kind, model.context_window) for name, model in policy.models.items()}
    assert windows == {
        "mixtral-8x7b-instruct": ("vllm", 32768),
        "qwen2.5-14b-instruct": ("vllm", 16384),
        "mistral-nemo": ("vllm", 8192),
        "llama3.1-8b-instruct": ("ollama", 8192),
        "phi3-mini-4k": ("ollama", 4096),
    }
    assert (policy.deadline("reasoning"), policy.deadline("report")) == (30, 120)


def test_the_embedded_profile_runs_the_model_that_ships_unless_another_file_is_named() -> None:
    assert load_config(profile_path("embedded"), {}).runtimes["embedded"].gguf is None
    named = load_config(profile_path("embedded"), {"ROUTER_MCP_GGUF": "/models/a.gguf"})
    assert named.runtimes["embedded"].gguf == "/models/a.gguf"


@settings(max_examples=50)
@given(st.floats())
def test_no_number_that_is_not_finite_gets_into_a_policy(seconds: float) -> None:
    said, read = "", 1.0
    try:
        read = load(GOOD + f"timeouts: {{interactive: {seconds}}}\n").timeouts.interactive
    except ConfigError as error:
        said = str(error)
    assert 0 < read <= 86_400
    assert said == "" or said.startswith("policy.yaml:19: timeouts.interactive: ")
