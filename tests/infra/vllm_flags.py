"""Every flag of `vllm serve` that a file of this project passes, collected from what the files really render."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.infra.charts import flags, merged, nested, pod_specs, profile_values, render
from tests.infra.compose import command_of, services

PROFILES = ("dev-cpu", "dev-gpu", "staging", "production")
# Values that bring out the flags which no profile uses.
REST = (
    nested(
        model={"source": "s3://bucket/model", "revision": "abc", "quantization": "awq"},
        lora={"enabled": True, "adapters": [{"name": "a", "path": "b"}]},
        tracing__endpoint="http://collector:4317",
        cache__type="emptyDir",
    ),
    nested(promptCaching__enabled=False),
    nested(
        multiNode={"enabled": True, "nodes": 2},
        tensorParallelSize=2,
        cache__type="emptyDir",
    ),
)
_FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]+)")


def passed() -> dict[str, list[str]]:
    """Return each flag that a file of ours passes to vLLM, with the values that it is given somewhere."""
    found: dict[str, list[str]] = {}
    for line in _command_lines():
        for flag, values in flags(line).items():
            found.setdefault(flag, []).extend(values)
    return found


def command_lines() -> list[list[str]]:
    """Return the whole command lines, each as the arguments after `vllm serve`."""
    return list(_command_lines())


def _command_lines() -> Iterable[list[str]]:
    yield command_of(services()["vllm"])
    for values in [*(profile_values("vllm-runtime", profile) for profile in PROFILES), *REST, merged({}, {})]:
        for manifest in render("vllm-runtime", values):
            for spec in pod_specs(manifest):
                for each in spec["containers"]:
                    if each["name"] == "vllm" and "args" in each:
                        yield each["args"]


def known(help_text: str) -> set[str]:
    """Return the flags that a `--help` names."""
    return set(_FLAG.findall(help_text))


def recorded() -> set[str]:
    """Return the flags that vLLM 0.32.0 itself named, kept for tests that have no vLLM."""
    return set((Path(__file__).parent / "data" / "vllm-0.32.0-flags.txt").read_text().split())
