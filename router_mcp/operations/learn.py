"""Proposes templates to warm, from a log of how calls began (`telemetry.prefix_log`). Pure: lines in, text out.

Text can only be proposed where the log has it, which takes a tenant's consent. Of the rest it can be said that so
many calls begin alike, and whoever wrote that prompt knows its text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

MOST = 20
"""Beginnings that are proposed."""
PART_OF_SHORTER = 0.8
"""A shorter beginning is left out when so many of its calls share a longer one."""


class _Key(NamedTuple):
    """What calls that begin alike have in common."""

    task: str
    length: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Calls that begin alike."""

    task: str
    calls: int
    characters: int
    """They agree on so many at the least."""
    tenant: str | None = None
    system: str | None = None
    prompt: str | None = None
    """With `system`, the text; both `None` where nobody consented to keep it."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a log shows."""

    calls: int
    min_calls: int
    """Of these, so many had to begin alike."""
    beginnings: tuple[Beginning, ...]


def learn(lines: Iterable[str], *, min_calls: int) -> Learnt:
    """Return the beginnings that at least `min_calls` calls of one task and tenant share, most frequent first."""
    calls = [call for line in lines if (call := _call(line)) is not None]
    counts = Counter(key for call in calls for key in _keys(call))
    longer: Counter[tuple[_Key, int]] = Counter()
    for call in calls:
        frequent = [key for key in _keys(call) if counts[key] >= min_calls]
        longer.update((key, other.length) for key in frequent for other in frequent if other.length > key.length)
    covered = {key for (key, _), shared in longer.items() if shared >= PART_OF_SHORTER * counts[key]}
    best = [key for key, count in counts.items() if count >= min_calls and key not in covered]
    best.sort(key=lambda key: (-counts[key] * key.length, key))
    return Learnt(len(calls), min_calls, tuple(_beginning(key, counts[key], calls) for key in best[:MOST]))


def _call(line: str) -> dict[str, Any] | None:
    try:
        call = json.loads(line)
    except ValueError:
        return None
    known = isinstance(call, dict) and isinstance(call.get("task"), str) and isinstance(call.get("digests"), dict)
    return call if known else None


def _keys(call: dict[str, Any]) -> list[_Key]:
    return [
        _Key(call["task"], int(length), str(digest)) for length, digest in call["digests"].items() if length.isdigit()
    ]


def _beginning(key: _Key, count: int, calls: list[dict[str, Any]]) -> Beginning:
    alike = [call for call in calls if key in _keys(call)]
    texts = [call["beginning"] for call in alike if isinstance(call.get("beginning"), str)]
    if not texts:
        return Beginning(task=key.task, calls=count, characters=key.length)
    text = _common(min(texts), max(texts))  # what these two share, all between them share
    system, _, prompt = text.partition("\0")
    tenant = alike[0].get("tenant")
    return Beginning(
        task=key.task,
        calls=count,
        characters=len(text),
        tenant=tenant if tenant != "-" else None,
        system=system,
        prompt=prompt,
    )


def _common(one: str, other: str) -> str:
    return "".join(pair[0] for pair in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def proposal(learnt: Learnt) -> str:
    """Return a templates file with what was learnt; what cannot be written out is said in comments."""
    lines = [
        f"# Learnt from {learnt.calls:,} calls. Read it before you use it: it holds what callers sent.",
        "version: 1",
        "templates:" if any(each.system is not None for each in learnt.beginnings) else "templates: {}",
    ]
    named = (each for each in learnt.beginnings if each.system is not None)
    for number, each in enumerate(named, start=1):
        lines += [f"  learnt-{number}: # {each.calls:,} calls", f"    task: {_text(each.task)}"]
        parts = (("system", each.system), ("prompt", each.prompt))
        lines += [f"    {key}: {_text(text)}" for key, text in parts if text]
        lines += [f"    tenants: [{_text(each.tenant)}]"] if each.tenant else []
    if not learnt.calls:
        lines += [
            "# The log says of no call how it began: have the server log that (ROUTER_MCP_LEARN, --log-format json)."
        ]
    elif not learnt.beginnings:
        lines += [
            f"# No {learnt.min_calls:,} of them begin alike. Ask for fewer (--min-calls), or learn from a longer log."
        ]
    for each in learnt.beginnings:
        if each.system is None:
            lines += [
                f"# {each.calls:,} calls of task {each.task} begin alike for {each.characters:,} characters. Whoever",
                "# wrote the prompt can add it: it was not kept, for their tenant did not consent (ROUTER_MCP_LEARN).",
            ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Return a string as YAML has it, with nothing in it that would be taken for a variable."""
    return json.dumps(value.replace("${", "$${"), ensure_ascii=False)
