"""Paced streams: 64 and 256 at 50 tokens a second, through the router's core and through a plain reader."""

from __future__ import annotations

import statistics
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.calls import ours
from benchmarks.policies import written
from benchmarks.processes import driver, subject
from benchmarks.results import Claim, Section, shown
from benchmarks.rounds import Scale, compared
from benchmarks.upstream import PACED_TOKENS

HEADER = ("streams", "plain reader, µs a token", "ours, µs a token", "ratio", "plain, worst p99 gap, ms", "ours")


async def paced(scale: Scale, url: str, folder: str) -> Section:
    """Return what a token costs, and how much later it comes."""
    about = (
        "CPU of the reading process per token, and the longest of all streams' 99th percentiles of the time between "
        "tokens. The plain reader is aiohttp and `json`; ours is the library that the server stands on."
    )
    section = Section("Streams at 50 tokens a second", about, HEADER)
    env = {"UPSTREAM": url, "POLICY": str(written(folder, url))}
    found: dict[str, list[dict[str, Any]]] = {}
    for count in (64, 256):
        with (
            driver("plain", "benchmarks.drivers.streams", {**env, "READER": "plain"}) as plain,
            driver("ours", "benchmarks.drivers.streams", {**env, "READER": "ours"}) as mine,
        ):
            for each in (plain, mine):
                await each.ask(count=8)
            found = {"plain": [], "ours": []}
            for number in range(scale.rounds):
                for each in (plain, mine) if number % 2 else (mine, plain):
                    found[each.name].append(await each.ask(count=count))
        cost = {name: [each["cpu_us"] for each in answers] for name, answers in found.items()}
        gap = {name: [each["gap_ms"] for each in answers] for name, answers in found.items()}
        ratio = statistics.median(one / two for one, two in zip(cost["ours"], cost["plain"], strict=True))
        later = statistics.median(one - two for one, two in zip(gap["ours"], gap["plain"], strict=True))
        middle = [statistics.median(each) for each in (cost["plain"], cost["ours"])]
        gaps = [statistics.median(each) for each in (gap["plain"], gap["ours"])]
        section.rows.append((str(count), *map(shown, (*middle, ratio, *gaps))))
        if count == 256:
            section.claims += [
                Claim("256 streams: worst p99 gap between tokens, more than a plain reader's", later, 20.0, unit=" ms"),
                Claim("256 streams: CPU per token, ours : plain reader", ratio, most=1.3),
            ]
    return section


async def progress(scale: Scale, url: str, folder: str) -> Section:
    """Return what progress reports cost while a model streams."""
    header = ("64 streams over stdio", "CPU per token, µs", "reports a call")
    section = Section("Streaming with progress", "A caller that asks for progress is told twice a second.", header)
    reports = 0

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        nonlocal reports
        reports += 1

    async with AsyncExitStack() as stack:
        policy = written(folder, url)
        silent = await stack.enter_async_context(subject("without", ours(policy), {}, task="paced"))
        told = await stack.enter_async_context(subject("with", ours(policy), {}, task="paced"))
        told.on_progress = hear
        found = await compared([silent, told], 1000, calls=64, at_once=64, rounds=scale.rounds)
    made = 64 * (scale.rounds + 1)
    for name, heard in (("without", 0.0), ("with", reports / made)):
        section.rows.append((f"{name} progress", shown(1000 * found.cpu_ms(name) / PACED_TOKENS), shown(heard)))
    return section
