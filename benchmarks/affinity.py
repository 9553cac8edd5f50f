"""Prefix affinity beside round robin and least busy, on replicas that model a prefix cache (`benchmarks.upstream`)."""

from __future__ import annotations

import statistics
from dataclasses import replace

from benchmarks.conversations import WAYS, Found, Traffic, make_policy, talk
from benchmarks.results import Claim, Section, shown
from benchmarks.rounds import Scale
from benchmarks.upstream import CACHED_TOKENS
from router_mcp import open_router

APART = Traffic()
"""Each conversation begins with a text of its own."""
TOGETHER = replace(APART, shared=1000, opening=500)
"""All begin with the same instructions."""
HEADER = ("replicas", "conversations begin", "choice", "found in caches", "first token, mean ms", "its worst, ms")


async def section(scale: Scale, url: str, _folder: str) -> Section:
    """Return what each way of choosing finds, and how long callers wait for it."""
    about = (
        f"{APART.conversations} conversations of {APART.turns} turns begin with {APART.opening:,} tokens and grow. "
        f"A replica remembers {CACHED_TOKENS:,} tokens, which is less than all of them have, and takes its time for "
        "every token that it does not remember. Each round has new replicas and new texts."
    )
    section = Section("Prefix affinity", about, HEADER)
    for replicas in (2,) if scale.quick else (2, 4):
        for name, traffic in (("apart", APART), ("alike", TOGETHER)):
            found = await _rounds(scale.rounds, url, replicas, name, traffic)
            section.rows += [_row(replicas, name, way, found[way]) for way in WAYS]
            section.claims += _claims(f"{replicas} replicas, {name}", found)
    return section


async def _rounds(rounds: int, url: str, replicas: int, name: str, traffic: Traffic) -> dict[str, list[Found]]:
    found: dict[str, list[Found]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 else reversed(WAYS):
            mark = f"{name}-{replicas}-{number}-{way.replace(' ', '-')}"
            urls = [f"{url}/cached/{mark}-{place}" for place in range(replicas)]
            policy = make_policy(urls, served_name="mixtral-8x7b-instruct", context_window=131072)
            async with open_router(policy) as router:
                found[way].append(await talk(router, way, traffic, mark))
    return found


def _row(replicas: int, name: str, way: str, found: list[Found]) -> tuple[str, ...]:
    rate = statistics.median(each.hit_rate for each in found)
    mean = statistics.median(each.mean_first_token_s for each in found)
    worst = statistics.median(max(each.first_token_s) for each in found)
    return (str(replicas), name, way, f"{rate:.0%}", shown(1000 * mean), shown(1000 * worst))


def _claims(case: str, found: dict[str, list[Found]]) -> list[Claim]:
    claims = []
    for other in WAYS[1:]:
        pairs = list(zip(found["affinity"], found[other], strict=True))
        hits = statistics.median(one.hit_rate / max(two.hit_rate, 1e-9) for one, two in pairs)
        first = statistics.median(one.mean_first_token_s / two.mean_first_token_s for one, two in pairs)
        claims += [
            Claim(f"{case}: tokens found in caches, affinity : {other}", hits, least=1.0),
            Claim(f"{case}: mean time to first token, affinity : {other}", first, most=1.0),
        ]
    return claims
