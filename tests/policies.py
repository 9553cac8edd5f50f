"""Policy files for tests: a small good one, and what is said of a changed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_mcp.config.base import validate
from router_mcp.config.checks import problems
from router_mcp.config.policy_file import PolicyFile
from router_mcp.config.yaml_source import Source
from router_mcp.errors import ConfigError

GOOD = """\
version: 1
runtimes:
  gpu:
    kind: vllm
    endpoints: ["http://127.0.0.1:8000"]
  laptop:
    kind: ollama
    endpoints: ["http://127.0.0.1:11434"]
models:
  big: {runtime: gpu, context_window: 32768}
  small: {runtime: laptop, context_window: 4096}
tasks:
  reasoning:
    models: [big, small]
  embedding:
    served_by: embeddings-mcp
defaults:
  task: reasoning
"""


def load(text: str = GOOD, **environ: str) -> PolicyFile:
    """Do what `load_config` does, without a file."""
    source = Source(Path("policy.yaml"), text, environ)
    policy = validate(source, PolicyFile)
    if found := problems(policy):
        raise source.error(found)
    return policy


def changed(*changes: tuple[str, str]) -> str:
    """Return the good policy with some text in it replaced; each must stand in it once."""
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


def complaints(text: str, **environ: str) -> list[str]:
    """Return the lines of the error that a policy gets."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return str(caught.value).split("\n")
