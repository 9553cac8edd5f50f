"""Runtimes that do as they are told, for tests of routing: no wire, only what an adapter may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio

from router_mcp.domain import Call, Capabilities, Completion, Endpoint, Listener, Probe, Usage
from router_mcp.errors import AttemptError, UnreachableError

Behaviour = Callable[[Call, Listener], Awaitable[Completion]]


def says(text: str, *, finish: str = "stop", after_s: float = 0.0, each_s: float = 0.0) -> Behaviour:
    """Answer word by word."""

    async def answer(call: Call, listener: Listener) -> Completion:
        await anyio.sleep(after_s)
        words = text.split(" ")
        for index, word in enumerate(words):
            if index:
                await anyio.sleep(each_s)
            listener.text(word if index == 0 else " " + word)
        usage = Usage(input_tokens=7, output_tokens=len(words))
        return Completion(text=text, finish_reason="length" if finish == "length" else "stop", usage=usage)

    return answer


def fails(error: AttemptError, *, after_text: str = "", after_s: float = 0) -> Behaviour:
    """Fail after a while, perhaps after having said something."""

    async def answer(call: Call, listener: Listener) -> Completion:
        await anyio.sleep(after_s)
        if after_text:
            listener.text(after_text)
        raise error

    return answer


def hangs(after_text: str = "") -> Behaviour:
    """Never answer, perhaps after having said something."""

    async def answer(call: Call, listener: Listener) -> Completion:
        if after_text:
            listener.text(after_text)
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    return answer


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave so the first time, so the second, and like the last one from then on."""
    left = list(behaviours)

    async def answer(call: Call, listener: Listener) -> Completion:
        return await (left.pop(0) if len(left) > 1 else left[0])(call, listener)

    return answer


REFUSES = fails(UnreachableError("it cannot be reached (Connection refused). Start it."))


@dataclass
class ScriptedRuntime:
    """A runtime whose endpoints and models behave as a test says; `calls` is what it was asked."""

    behaviour: Behaviour = field(default_factory=lambda: says("hello from here"))
    by_endpoint: dict[str, Behaviour] = field(default_factory=dict)
    by_model: dict[str, Behaviour] = field(default_factory=dict)
    capabilities: Capabilities = field(default_factory=Capabilities)
    health: Probe | AttemptError | None = field(default_factory=Probe)
    """What a probe answers; `None` hangs."""
    calls: list[Call] = field(default_factory=list)
    probes: int = 0
    cancelled: int = 0
    running: int = 0
    most_running: int = 0
    closed: bool = False

    async def generate(self, call: Call, listener: Listener) -> Completion:
        self.calls.append(replace(call))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        behave = self.by_endpoint.get(call.endpoint.url) or self.by_model.get(call.model) or self.behaviour
        try:
            return await behave(call, listener)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def probe(self, endpoint: Endpoint) -> Probe:
        self.probes += 1
        await anyio.lowlevel.checkpoint()
        if self.health is None:
            await anyio.sleep_forever()
        if isinstance(self.health, AttemptError):
            raise self.health
        assert self.health is not None
        return self.health

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        return True

    async def aclose(self) -> None:
        self.closed = True
