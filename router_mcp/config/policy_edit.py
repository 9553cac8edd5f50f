"""Lets two entries of a policy file change places in its text, so that nothing else in it moves by one byte.

A promotion is that: the model (or its runtime) and its canary swap what stands after their names, comments within
included. What was the model's stays in the file as the canary's, one swap away. The text is cut at the places that
the YAML parser names; whether it now says what was meant is then read from it, and if not, nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from router_mcp.config import policy_of
from router_mcp.config.canaries import SUFFIX
from router_mcp.config.yaml_source import Source, compose
from router_mcp.errors import ConfigError

Section: TypeAlias = Literal["models", "runtimes"]
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Swap:
    """Two entries of a section that change places."""

    section: Section
    one: str
    other: str


def swap_for(path: Path, text: str, model: str, environ: Mapping[str, str]) -> Swap:
    """Return what changes places when a model's canary is promoted; raise `ConfigError` when that is not possible."""
    source = Source(path, text.removeprefix(BOM), environ)
    policy_of(source)
    models, runtimes = source.data["models"], source.data["runtimes"]
    if model not in models:
        raise ConfigError(f"{path}: there is no model {model!r}. There are: {', '.join(models) or 'none'}.")
    if model + SUFFIX in models:
        return Swap("models", model, model + SUFFIX)
    runtime = models[model]["runtime"]
    if runtime + SUFFIX not in runtimes:
        raise ConfigError(
            f"{path}: {model} has no canary. Add a runtime {runtime + SUFFIX!r} that serves the same model, or a model "
            f"{model + SUFFIX!r}."
        )
    others = [name for name, each in models.items() if name != model and each["runtime"] in {runtime, runtime + SUFFIX}]
    if others:
        raise ConfigError(
            f"{path}: the runtimes {runtime} and {runtime + SUFFIX} also serve {', '.join(others)}, which would move "
            f"along untested. Add a model {model + SUFFIX!r} instead."
        )
    return Swap("runtimes", runtime, runtime + SUFFIX)


def swapped(path: Path, text: str, swap: Swap, environ: Mapping[str, str]) -> str:
    """Return the text after the swap; raise `ConfigError` when it would not be exactly that, or no good policy."""
    bom, body = (BOM, text[1:]) if text.startswith(BOM) else ("", text)
    before = Source(path, body, environ).data
    after = _exchange(path, _with_names(path, body, swap) if swap.section == "models" else body, swap)
    try:
        source = Source(path, after, environ)
    except ConfigError:
        raise _not_here(path, swap) from None
    if source.data != _expected(before, swap):
        raise _not_here(path, swap)
    policy_of(source)
    return bom + after


def _not_here(path: Path, swap: Swap) -> ConfigError:
    return ConfigError(
        f"{path}: {swap.one} and {swap.other} cannot change places without touching more (is one of them an alias?). "
        "Write both out, or swap them by hand."
    )


def _expected(data: Mapping[str, Any], swap: Swap) -> dict[str, Any]:
    section = dict(data[swap.section])
    one, other = dict(section[swap.one]), dict(section[swap.other])
    if swap.section == "models":
        one.setdefault("served_name", swap.one)
        other.setdefault("served_name", swap.other)
    return {**data, swap.section: {**section, swap.one: other, swap.other: one}}


def _with_names(path: Path, text: str, swap: Swap) -> str:
    """Write out the served names that were the models' own names, because those do not move along."""
    for name in (swap.one, swap.other):
        value = _entry(path, text, swap.section, name)[1]
        if isinstance(value, yaml.MappingNode) and "served_name" not in {key.value for key, _ in value.value}:
            first = value.value[0][0].start_mark
            between = ", " if value.flow_style else "\n" + " " * first.column
            text = f"{text[: first.index]}served_name: {json.dumps(name)}{between}{text[first.index :]}"
    return text


def _exchange(path: Path, text: str, swap: Swap) -> str:
    first, second = sorted(_span(path, text, swap.section, name) for name in (swap.one, swap.other))
    parts = text[: first[0]], text[slice(*second)], text[first[1] : second[0]], text[slice(*first)], text[second[1] :]
    return "".join(parts)


def _span(path: Path, text: str, section: Section, name: str) -> tuple[int, int]:
    """Return where the text of an entry's value begins and ends: after the colon, with the comment of its last line."""
    key, value, within_braces = _entry(path, text, section, name)
    start = text.index(":", key.end_mark.index) + 1
    end = _end(value)
    while text[end - 1].isspace():  # a block text ends where the next token begins
        end -= 1
    if not within_braces:
        line_end = text.find("\n", end)
        end = len(text) if line_end < 0 else line_end
    return start, end


def _entry(path: Path, text: str, section: Section, name: str) -> tuple[yaml.Node, yaml.Node, bool]:
    top = compose(path, text)
    assert isinstance(top, yaml.MappingNode), "it was read before"
    entries = next(value for key, value in top.value if key.value == section)
    found = next((key, value) for key, value in entries.value if key.value == name)
    return *found, bool(entries.flow_style)


def _end(node: yaml.Node) -> int:
    """Return where a node's own text ends; the parser's mark of a block is where the next one begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return int(node.end_mark.index)
