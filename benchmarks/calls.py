"""Calls through MCP: the router beside an empty tool, a naive one, `litellm.Router` and plain httpx."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from benchmarks.peer import peer_python
from benchmarks.policies import written
from benchmarks.processes import Measured, Subject, driver, http_subject, subject
from benchmarks.results import Claim, Section, shown
from benchmarks.rounds import Rounds, Scale, compared

PYTHON = sys.executable
EMPTY = [PYTHON, "-m", "benchmarks.servers.empty"]
NAIVE = [PYTHON, "-m", "benchmarks.servers.naive"]
HEADER = (
    "case",
    "empty, ms",
    "naive, ms",
    "ours, ms",
    "added CPU, ours : naive",
    "calls/s, ours : naive",
    "calls/s, ours : empty",
    "p99, ours : empty",
)
SHORT, LONG = 1000, 100_000
STDIO = (
    *((SHORT, 1, 150), (SHORT, 32, 300), (SHORT, 64, 400), (SHORT, 256, 768)),
    *((LONG, 1, 80), (LONG, 32, 160), (LONG, 256, 256)),
)
"""Characters of a prompt, calls in flight, calls."""
HTTP = ((SHORT, 1, 100), (SHORT, 32, 200), (SHORT, 256, 256), (LONG, 1, 60), (LONG, 32, 96))
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "The city that the text is about, as its people call it."},
        "population": {"type": "number", "minimum": 0, "description": "How many live there, in millions."},
        "tags": {"type": "array", "items": {"enum": ["river", "hill", "sea", "desert"]}, "maxItems": 8},
        **{
            f"detail_{n}": {
                "type": ["string", "null"],
                "maxLength": 80,
                "description": f"What it says of part {n}.",
            }
            for n in range(16)
        },
    },
    "required": ["city", "population", "tags"],
    "additionalProperties": False,
}
"""2 kB."""


def ours(policy: Path, *more: str) -> list[str]:
    """Return the command that serves a policy."""
    return [PYTHON, "-m", "router_mcp", "serve", "--config", str(policy), *more]


async def stdio(scale: Scale, url: str, folder: str) -> Section:
    """Return calls over stdio, and what must hold of them."""
    section = Section(
        "Calls over stdio", "CPU of the server per call; prompts of 1 and 100 kB, 1 to 256 in flight.", HEADER
    )
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(subject("empty", EMPTY, {})),
            await stack.enter_async_context(subject("naive", NAIVE, {"UPSTREAM": f"{url}/instant"})),
            await stack.enter_async_context(subject("ours", ours(written(folder, url)), {})),
        ]
        for size, at_once, calls in STDIO:
            if scale.quick and at_once not in {1, 64, 256}:
                continue
            found = await compared(
                subjects, size, calls=scale.calls(calls, at_once), at_once=at_once, rounds=scale.rounds
            )
            section.rows.append(_row(f"{size // 1000} kB, {at_once} in flight", found))
            section.claims += _claims(f"{size // 1000} kB", at_once, found)
    return section


def _claims(size: str, at_once: int, found: Rounds) -> list[Claim]:
    if at_once == 1:
        text = f"CPU that a call adds to an empty tool, ours : naive ({size}, 1 in flight)"
        return [Claim(text, found.added("ours", "naive"), most=1.0)]
    if (size, at_once) == ("1 kB", 64):
        return [
            Claim("the same with 64 in flight", found.added("ours", "naive"), most=1.0),
            Claim("calls/s at 64 in flight, ours : naive", found.ratio("calls_per_s", "ours", "naive"), least=1.0),
            Claim("calls/s at 64 in flight, ours : empty", found.ratio("calls_per_s", "ours", "empty"), least=0.55),
        ]
    if (size, at_once) == ("1 kB", 256):
        return [Claim("p99 at 256 in flight, ours : empty", found.ratio("p99_ms", "ours", "empty"), most=1.5)]
    return []


async def http(scale: Scale, url: str, folder: str) -> Section:
    """Return calls over Streamable HTTP."""
    section = Section("Calls over Streamable HTTP", "As above; one client with one session.", HEADER)
    policy = written(folder, url)
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(http_subject("empty", lambda port: [*EMPTY, str(port)], {})),
            await stack.enter_async_context(
                http_subject("naive", lambda port: [*NAIVE, str(port)], {"UPSTREAM": f"{url}/instant"})
            ),
            await stack.enter_async_context(
                http_subject("ours", lambda port: ours(policy, "--transport", "http", "--port", str(port)), {})
            ),
        ]
        for size, at_once, calls in HTTP[:1] if scale.quick else HTTP:
            found = await compared(
                subjects, size, calls=scale.calls(calls, at_once), at_once=at_once, rounds=scale.rounds
            )
            section.rows.append(_row(f"{size // 1000} kB, {at_once} in flight", found))
            text = f"over HTTP: added CPU, ours : naive ({size // 1000} kB, {at_once} in flight)"
            section.claims.append(Claim(text, found.added("ours", "naive"), most=1.0))
    return section


async def delayed(scale: Scale, url: str, folder: str) -> Section:
    """Return calls of a model that takes 20 ms."""
    header = ("case", "naive, p99 ms", "ours, p99 ms", "calls/s, ours : naive")
    section = Section("A model that takes 20 ms", "Over stdio, 1 kB.", header)
    async with AsyncExitStack() as stack:
        slow = {"UPSTREAM": f"{url}/delayed"}
        subjects = [
            await stack.enter_async_context(subject("naive", NAIVE, slow)),
            await stack.enter_async_context(subject("ours", ours(written(folder, url)), {}, task="delayed")),
        ]
        for at_once, calls in ((1, 60), (64, 400)):
            found = await compared(
                subjects, 1000, calls=scale.calls(calls, at_once), at_once=at_once, rounds=scale.rounds
            )
            faster = shown(found.ratio("calls_per_s", "ours", "naive"))
            cells = (shown(found.p99_ms("naive")), shown(found.p99_ms("ours")), faster)
            section.rows.append((f"{at_once} in flight", *cells))
    return section


async def peers(scale: Scale, url: str, folder: str) -> Section | str:
    """Return what others spend in process on what we add to an empty tool; or why that was not measured."""
    python = peer_python()
    if python is None:
        return "litellm.Router, which could not be installed"
    header = ("case", "httpx, ms", "litellm.Router, ms", "ours less the empty tool, ms", "ours : litellm.Router")
    about = "CPU per call. httpx and `litellm.Router` run in process, without MCP: an empty tool's is taken off ours."
    section = Section("Beside litellm.Router and plain httpx", about, header)
    at = {"UPSTREAM": f"{url}/instant"}
    async with AsyncExitStack() as stack:
        subjects: list[Measured] = [
            await stack.enter_async_context(subject("empty", EMPTY, {})),
            await stack.enter_async_context(subject("ours", ours(written(folder, url)), {})),
            stack.enter_context(driver("httpx", "benchmarks.drivers.direct_httpx", at)),
            stack.enter_context(driver("litellm", "benchmarks.drivers.litellm_router", at, python)),
        ]
        for size, at_once, calls in ((1000, 1, 100), (1000, 64, 200), (100_000, 8, 64)):
            found = await compared(
                subjects, size, calls=scale.calls(calls, at_once), at_once=at_once, rounds=scale.rounds
            )
            part = found.part("ours", "litellm")
            mine = found.cpu_ms("ours") - found.cpu_ms("empty")
            cells = (found.cpu_ms("httpx"), found.cpu_ms("litellm"), mine, part)
            section.rows.append((f"{size // 1000} kB, {at_once} in flight", *map(shown, cells)))
            if at_once == 1:
                section.claims.append(Claim("CPU that a call adds, ours : all of litellm.Router's", part, most=0.2))
    return section


async def structured(scale: Scale, url: str, folder: str) -> Section:
    """Return calls with a schema of 2 kB: preflight once, compiled, sent, and the answer checked."""
    header = ("case", "naive, ms", "ours, ms", "ours without a schema, ms", "ours : naive")
    about = "CPU per call with a schema of 2 kB. The naive tool sends it and calls `jsonschema.validate`."
    section = Section("Structured calls", about, header)
    given: dict[str, Any] = {"tool": "structured_generate", "json_schema": SCHEMA}
    async with AsyncExitStack() as stack:
        policy = written(folder, url)
        subjects = [
            await stack.enter_async_context(subject("naive", NAIVE, {"UPSTREAM": f"{url}/instant"}, **given)),
            await stack.enter_async_context(subject("ours", ours(policy), {}, **given)),
            await stack.enter_async_context(subject("plain", ours(policy), {})),
        ]
        for at_once, calls in ((1, 100), (32, 200)):
            found = await compared(
                subjects, 1000, calls=scale.calls(calls, at_once), at_once=at_once, rounds=scale.rounds
            )
            cells = [found.cpu_ms(name) for name in ("naive", "ours", "plain")]
            ratio = found.ratio("cpu_ms", "ours", "naive")
            section.rows.append((f"{at_once} in flight", *map(shown, (*cells, ratio))))
    return section


async def models(scale: Scale, url: str, folder: str) -> Section:
    """Return calls under a policy of 5 models and under one of 500."""
    section = Section(
        "A policy of 500 models", "CPU per call, 32 in flight.", ("5 models, ms", "500 models, ms", "ratio")
    )
    async with AsyncExitStack() as stack:
        few, many = (written(folder, url, models=count) for count in (5, 500))
        subjects = [
            await stack.enter_async_context(subject("5", ours(few), {})),
            await stack.enter_async_context(subject("500", ours(many), {})),
        ]
        found = await compared(subjects, 1000, calls=scale.calls(200), at_once=32, rounds=scale.rounds)
    ratio = found.ratio("cpu_ms", "500", "5")
    section.rows.append(tuple(map(shown, (found.cpu_ms("5"), found.cpu_ms("500"), ratio))))
    return section


async def memory(scale: Scale, url: str, folder: str) -> Section:
    """Return the resident memory of servers at rest, and of ours after many calls."""
    calls = 2_000 if scale.quick else 20_000
    header = ("", "at rest, MB", f"after {calls} calls, MB")
    section = Section("Memory", "Resident, after probes have found every endpoint well; 64 in flight.", header)
    async with AsyncExitStack() as stack:
        servers: Sequence[Subject] = [
            await stack.enter_async_context(subject("empty", EMPTY, {})),
            await stack.enter_async_context(subject("naive", NAIVE, {"UPSTREAM": f"{url}/instant"})),
            await stack.enter_async_context(subject("ours", ours(written(folder, url)), {})),
        ]
        await anyio.sleep(3)
        rest = {each.name: each.rss_mb() for each in servers}
        for each in servers:
            await each.measure(1000, calls=calls if each.name == "ours" else calls // 10, at_once=64)
        after = {each.name: each.rss_mb() for each in servers}
    section.rows += [(name, shown(rest[name]), shown(after[name]) if name == "ours" else "") for name in rest]
    section.claims += [
        Claim("memory at rest, ours : empty", rest["ours"] / rest["empty"], most=1.4),
        Claim(f"memory after {calls} calls, more than at rest", after["ours"] - rest["ours"], most=5.0, unit=" MB"),
    ]
    return section


def _row(case: str, found: Rounds) -> tuple[str, ...]:
    cpu = [found.cpu_ms(name) for name in ("empty", "naive", "ours")]
    ratios = (
        found.added("ours", "naive"),
        found.ratio("calls_per_s", "ours", "naive"),
        found.ratio("calls_per_s", "ours", "empty"),
        found.ratio("p99_ms", "ours", "empty"),
    )
    return (case, *map(shown, (*cpu, *ratios)))
