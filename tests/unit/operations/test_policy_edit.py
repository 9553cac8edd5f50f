"""A promotion in the text of a policy file: two entries change places, and nothing else moves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.config import policy_of, shipped
from router_mcp.config.policy_edit import swap_for, swapped
from router_mcp.config.yaml_source import Source
from router_mcp.errors import ConfigError

PATH = Path("policy.yaml")
FILE = """\
# the head
version: 1
runtimes:
  # the one that serves
  gpu: # box A
    # its settings
    kind: vllm
    endpoints: ["${GPU_URL:-http://127.0.0.1:8000}"] # replicas
    max_concurrency: 64 # per endpoint

  # the one to come
  gpu-canary:
    kind: vllm
    endpoints:
      - http://127.0.0.1:9000 # box B
  # the laptop follows
  laptop: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}  # never alone
# models now
models:
  big: {runtime: gpu, context_window: 32768}   # first
  small: {runtime: laptop, context_window: 4096}  # as it is
  small-canary:   # another build
    runtime: laptop
    context_window: 8192
tasks: {reasoning: {models: [big, small]}}
defaults: {task: reasoning}
# the end"""


def promoted(text: str, model: str, **environ: str) -> str:
    return swapped(PATH, text, swap_for(PATH, text, model, environ), environ)


def data(text: str) -> dict[str, object]:
    return Source(PATH, text, {}).data


def comments(text: str) -> Counter[str]:
    return Counter(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)


def test_a_runtime_and_its_canary_change_places_and_their_comments_go_along() -> None:
    after = promoted(FILE, "big")
    assert (
        after[: after.index("  # the laptop")]
        == """\
# the head
version: 1
runtimes:
  # the one that serves
  gpu:
    kind: vllm
    endpoints:
      - http://127.0.0.1:9000 # box B

  # the one to come
  gpu-canary: # box A
    # its settings
    kind: vllm
    endpoints: ["${GPU_URL:-http://127.0.0.1:8000}"] # replicas
    max_concurrency: 64 # per endpoint
"""
    )
    assert FILE.endswith(after[after.index("  # the laptop") :])


def test_a_model_and_its_canary_change_places_under_the_names_that_the_runtime_knows() -> None:
    after = promoted(FILE, "small")
    policy = policy_of(Source(PATH, after, {}))
    assert (policy.served_name("small"), policy.models["small"].context_window) == ("small-canary", 8192)
    assert (policy.served_name("small-canary"), policy.models["small-canary"].context_window) == ("small", 4096)
    assert '  small:   # another build\n    served_name: "small-canary"\n    runtime: laptop\n' in after
    assert 'small-canary: {served_name: "small", runtime: laptop, context_window: 4096}  # as it is\n' in after


@pytest.mark.parametrize("model", ["big", "small"])
def test_no_comment_is_lost_and_all_keys_keep_their_order(model: str) -> None:
    after = promoted(FILE, model)
    assert comments(after) == comments(FILE)
    for section in ("runtimes", "models", "tasks"):
        assert list(data(after)[section]) == list(data(FILE)[section])  # type: ignore[call-overload]  # parsed YAML


def test_promoting_twice_is_where_one_began() -> None:
    assert promoted(promoted(FILE, "big"), "big") == FILE
    once = promoted(FILE, "small")
    assert promoted(promoted(once, "small"), "small") == once


def test_variables_stay_as_they_are_written() -> None:
    assert "${GPU_URL:-http://127.0.0.1:8000}" in promoted(FILE, "big", GPU_URL="http://127.0.0.1:1")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n",
        lambda text: text.replace("big:", '"big":').replace("gpu:", "'gpu':"),
        lambda text: text.replace("  gpu: # box A", "  gpu   :   # box A"),
    ],
    ids=["windows lines", "byte order mark", "last line ends", "quoted keys", "odd spaces"],
)
def test_files_of_any_editor_keep_their_ways(edit: object) -> None:
    assert callable(edit)
    text = edit(FILE)
    after = promoted(text, "big")
    assert data(after.removeprefix("\ufeff"))["runtimes"] == data(promoted(FILE, "big"))["runtimes"]
    assert promoted(after, "big") == text


def test_a_file_in_braces_is_changed_within_them() -> None:
    text = (
        'version: 1\nruntimes: {gpu: {kind: vllm, endpoints: ["http://127.0.0.1:1"]}, '
        'gpu-canary: {kind: vllm, endpoints: ["http://127.0.0.1:2"]}} # both\n'
        "models: {big: {runtime: gpu, context_window: 4096}}\ntasks: {t: {models: [big]}}\ndefaults: {task: t}\n"
    )
    after = promoted(text, "big")
    assert after == text.replace(":1", ":X").replace(":2", ":1").replace(":X", ":2").replace("n: 2", "n: 1")


@given(st.lists(st.sampled_from(["", "  # between", "    # deeper", "# at the edge"]), max_size=4))
def test_comments_and_empty_lines_between_entries_stay_between_them(lines: list[str]) -> None:
    text = FILE.replace("\n  # the laptop follows", "".join(f"\n{line}" for line in lines) + "\n  # the laptop follows")
    after = promoted(text, "big")
    assert comments(after) == comments(text)
    assert promoted(after, "big") == text


@pytest.mark.parametrize(
    ("change", "model", "said"),
    [
        (("gpu-canary:", "gpu-other:"), "big", "has no canary"),
        (("big: {", "bigger: {runtime: gpu, context_window: 4096}\n  big: {"), "big", "also serve bigger"),
        (("[big, small]", "[big]"), "none", "there is no model 'none'. There are: big, small"),
        (("[big, small]", "[large]"), "big", "there is no model 'large'"),
    ],
)
def test_what_cannot_be_promoted_is_said(change: tuple[str, str], model: str, said: str) -> None:
    text = FILE.replace(*change)
    with pytest.raises(ConfigError, match=said):
        promoted(text, model)


def test_an_alias_is_left_to_people() -> None:
    text = FILE.replace("  small: {", "  small: &same {").replace(
        "  small-canary:   # another build\n    runtime: laptop\n    context_window: 8192\n", "  small-canary: *same\n"
    )
    with pytest.raises(ConfigError, match="cannot change places without touching more"):
        promoted(text, "small")


def test_an_anchor_elsewhere_is_left_to_people_too() -> None:
    text = FILE.replace('laptop: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}', "laptop: &it {kind: embedded}")
    text = text[: text.index("  small-canary:")] + text[text.index("tasks:") :]
    start = text.index("  gpu-canary:")
    text = text[:start] + text[text.index("  # the laptop follows") :]
    text = text.replace("# models now", "  gpu-canary: *it\n# models now")
    with pytest.raises(ConfigError, match="cannot change places without touching more"):
        promoted(text, "big")


def test_a_text_of_several_lines_moves_whole() -> None:
    note = "  small-canary:   # another build\n    hardware: |\n      one\n      two\n    runtime: laptop"
    text = FILE.replace("  small-canary:   # another build\n    runtime: laptop", note)
    after = promoted(text, "small")
    assert policy_of(Source(PATH, after, {})).models["small"].hardware == "one\ntwo\n"
    last = FILE.replace("    context_window: 8192\n", "    context_window: 8192\n    hardware: |\n      any\n\n")
    assert policy_of(Source(PATH, promoted(last, "small"), {})).models["small"].hardware == "any\n"


def test_a_swap_that_would_make_a_bad_policy_is_refused() -> None:
    text = FILE.replace("  small-canary:   # another build\n    runtime: laptop", "  small-canary:\n    runtime: gpu")
    text = text.replace("context_window: 8192", "served_name: big\n    context_window: 8192")
    with pytest.raises(ConfigError, match="same model on the same runtime as 'big'"):
        promoted(text, "small")


def test_every_policy_that_ships_can_be_changed_in_place() -> None:
    path = shipped("router/models-policy.yaml")
    text = path.read_text(encoding="utf-8")
    canary = '  vllm-reasoning-canary: {kind: vllm, endpoints: ["http://127.0.0.1:9000"]} # new\n  ollama:'
    with_canary = text.replace("  ollama:", canary, 1)
    after = promoted(with_canary, "mixtral-8x7b-instruct")
    assert comments(after) == comments(with_canary)
    assert policy_of(Source(path, after, {})).runtimes["vllm-reasoning"].endpoints == ("http://127.0.0.1:9000",)
