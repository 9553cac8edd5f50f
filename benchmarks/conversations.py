"""Conversations that grow, sent to replicas by one of three ways of choosing: what that finds in their prefix caches.

All ways send through the same router. For affinity it is given one runtime with all replicas; for the others it is
told each time which replica to use, so that they differ in nothing but the choice.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import anyio

from router_mcp import GenerateRequest
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Message
from router_mcp.operations.prefix_reading import probe_once
from router_mcp.router import Router

FLEET = "fleet"
"""The runtime of all replicas, and the model on it."""
COUNTED_WITHIN_S = 30.0
WAYS = ("affinity", "round robin", "least busy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who talks, and how much. Lengths are words."""

    conversations: int = 8
    turns: int = 6
    shared: int = 0
    """System text that all conversations have in common."""
    opening: int = 1500
    question: int = 100
    pause_s: float = 0.05
    """The mean time that a caller thinks. It is random, or callers in step would make any way of choosing look wise."""
    answer_tokens: int = 64


@dataclass(slots=True)
class Found:
    """What came of one run."""

    queried: int = 0
    hit: int = 0
    first_token_s: list[float] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        """The part of all prompt tokens that were found in a cache."""
        return self.hit / max(1, self.queried)

    @property
    def mean_first_token_s(self) -> float:
        """How long callers waited for a first token, on average."""
        return statistics.fmean(self.first_token_s)


def make_policy(urls: Sequence[str], *, served_name: str, context_window: int) -> PolicyFile:
    """Return a policy with all replicas in one runtime, and each in one of its own."""
    endpoints = {FLEET: list(urls)} | {_alone(place): [url] for place, url in enumerate(urls)}
    return PolicyFile.model_validate(
        {
            "version": 1,
            "runtimes": {name: {"kind": "vllm", "endpoints": each} for name, each in endpoints.items()},
            "models": {
                name: {"runtime": name, "served_name": served_name, "context_window": context_window}
                for name in endpoints
            },
            "tasks": {"reasoning": {"models": [FLEET], "timeout": "long_form"}},
            "defaults": {"task": "reasoning"},
            "health": {"timeout": 10},
            "timeouts": {"inter_token": 60},
        }
    )


def _alone(place: int) -> str:
    return f"replica-{place}"


class Choice:
    """One way of choosing the model, and with it the replica, of each call."""

    def __init__(self, way: str, replicas: int, dice: random.Random) -> None:
        self._next = count()
        self._running = Counter({_alone(place): 0 for place in range(replicas)})
        self._dice = dice
        self._pick: Callable[[], str] = {
            "affinity": lambda: FLEET,
            "round robin": lambda: _alone(next(self._next) % replicas),
            "least busy": self._least_busy,
        }[way]

    @contextmanager
    def model(self) -> Iterator[str]:
        """Yield the model to ask, and note that it is busy meanwhile."""
        name = self._pick()
        self._running[name] += 1
        try:
            yield name
        finally:
            self._running[name] -= 1

    def _least_busy(self) -> str:
        least = min(self._running.values())
        return self._dice.choice([name for name, running in self._running.items() if running == least])


async def talk(router: Router, way: str, traffic: Traffic, mark: str) -> Found:
    """Have all conversations at once, and return what the replicas' own counters and the callers' clocks say.

    `mark` is in every text, so that nothing of an earlier run is found.
    """
    dice, found = random.Random(mark), Found()
    replicas = len(router.fleet.endpoints_of(FLEET))
    choice = Choice(way, replicas, dice)
    with anyio.fail_after(COUNTED_WITHIN_S):
        before = await _counters(router)
    asked = 0

    async def converse(number: int, dice: random.Random) -> None:
        nonlocal asked
        system = _text(f"{mark} all", traffic.shared) or None
        prompt, history = _text(f"{mark} {number}", traffic.opening), list[Message]()
        for turn in range(traffic.turns):
            await anyio.sleep(dice.expovariate(1 / traffic.pause_s))
            with choice.model() as model:
                request = GenerateRequest(
                    prompt=prompt,
                    system=system,
                    history=tuple(history),
                    model=model,
                    temperature=0.0,
                    max_output_tokens=traffic.answer_tokens,
                )
                result = await router.generate(request)
            asked += result.usage.input_tokens
            found.first_token_s.append(result.receipt.time_to_first_token_s or 0.0)
            history += [Message(role="user", content=prompt), Message(role="assistant", content=result.text)]
            prompt = _text(f"{mark} {number} {turn}", traffic.question)

    async with anyio.create_task_group() as tasks:
        for number in range(traffic.conversations):
            tasks.start_soon(converse, number, random.Random(dice.random()))
    with anyio.fail_after(COUNTED_WITHIN_S):
        while found.queried < asked:
            now = await _counters(router)
            found.queried, found.hit = now[0] - before[0], now[1] - before[1]
    return found


def _text(mark: str, words: int) -> str:
    """Return so many words that no other text has in this place."""
    return " ".join([*mark.split(), *(f"w{place}" for place in range(words))][:words])


async def _counters(router: Router) -> tuple[int, int]:
    """Return the tokens that all replicas ever looked for and found; a busy one is asked again."""
    queried = hit = 0
    for endpoint in router.fleet.endpoints_of(FLEET):
        while True:
            probe = await probe_once(router, endpoint)
            if probe.prefix_queried is not None and probe.prefix_hit is not None:
                break
            await anyio.sleep(0.1)
        queried, hit = queried + probe.prefix_queried, hit + probe.prefix_hit
    return queried, hit
