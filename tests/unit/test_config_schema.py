"""The JSON Schema that editors check policy files with: it is current, and it agrees with what is read."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from router_mcp.config import profile_path, shipped
from router_mcp.config.policy_file import json_schema
from tests.policies import GOOD, changed

PUBLISHED = shipped("router/models-policy.schema.json")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
PROFILES = ("dev-cpu", "dev-gpu", "staging", "production", "embedded")


def finds(text: str) -> list[str]:
    """Return what an editor would underline."""
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_the_published_schema_is_current() -> None:
    remedy = "run `router-mcp config schema > configs/router/models-policy.schema.json`"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema(), remedy


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", ["router/models-policy.yaml", *(f"profiles/{name}.yaml" for name in PROFILES)])
def test_an_editor_finds_the_schema_of_a_file_that_ships_and_nothing_wrong_with_it(name: str) -> None:
    path = shipped(name)
    text = path.read_text(encoding="utf-8")
    modeline = text.split("\n", maxsplit=1)[0]
    assert modeline.startswith("# yaml-language-server: $schema=")
    assert (path.parent / modeline.split("=")[1]).resolve() == PUBLISHED.resolve()
    assert finds(text) == []


def test_every_profile_that_ships_is_among_those_tested() -> None:
    assert {path.stem for path in profile_path("embedded").parent.glob("*.yaml")} == set(PROFILES)


@pytest.mark.parametrize(
    "change",
    [
        ("runtimes:", "runtime:"),
        ("kind: vllm", "kind: vllm\n    colour: red"),
        ("kind: vllm", "kind: vlm"),
        ("32768", "many"),
        ("32768", "1"),
        ("  gpu:", "  'g p u':"),
        ("{runtime: gpu, context_window: 32768}", "{runtime: gpu}"),
        ("models: [big, small]", "models: big"),
        ("version: 1", "version: 2"),
    ],
)
def test_an_editor_sees_what_the_router_would_refuse(change: tuple[str, str]) -> None:
    assert finds(changed(change))


@pytest.mark.parametrize(
    "change",
    [
        ("32768", "'${WINDOW:-32768}'"),
        ("kind: vllm", "kind: ${KIND:-vllm}"),
        ("version: 1", "version: ${VERSION:-1}"),
        ("models: [big, small]", "models: ['${PRIMARY:-big}', small]"),
        ("kind: vllm", "kind: vllm\n    max_concurrency: ${N:-8}\n    allow_insecure: ${INSECURE:-false}"),
        ("kind: vllm", "kind: vllm\n    api_key_env: ${KEY_NAME:-KEY}\n    keep_alive: ${KEEP:-}"),
        ("task: reasoning", "task: ${TASK:-reasoning}\n  temperature: ${WARMTH:-0.5}"),
    ],
)
def test_an_editor_takes_a_variable_for_any_value(change: tuple[str, str]) -> None:
    assert finds(changed(change)) == []


def test_no_section_takes_unknown_keys() -> None:
    open_ones = [path for path, node in objects(json_schema(), "#") if node.get("additionalProperties") is not False]
    assert open_ones == []


def objects(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """List every schema of an object within a schema."""
    if isinstance(node, list):
        return [found for each in node for found in objects(each, path)]
    if not isinstance(node, dict):
        return []
    own = [(path, node)] if node.get("type") == "object" else []
    return own + [found for key, value in node.items() for found in objects(value, f"{path}/{key}")]


def test_an_editor_shows_what_a_key_means_and_its_default() -> None:
    keys = json_schema()["$defs"]["RuntimeConfig"]["properties"]
    assert keys["max_queue"]["description"] == "Callers that may wait for this runtime."
    assert keys["max_queue"]["default"] == 256


def test_the_good_policy_of_these_tests_has_nothing_wrong_with_it() -> None:
    assert finds(GOOD) == []
