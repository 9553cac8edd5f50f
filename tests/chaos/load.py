"""Many clients at once, and what became of their calls."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio

from router_mcp.domain import GenerateRequest, GenerateResult
from router_mcp.errors import RouterError
from router_mcp.router import Router

ASK = GenerateRequest(prompt="What is the capital of France?", task="reasoning")


@dataclass(slots=True)
class Outcomes:
    """How calls ended; seconds each."""

    served: list[GenerateResult] = field(default_factory=list)
    errors: list[RouterError] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.seconds)

    def models(self) -> set[str]:
        return {result.model for result in self.served}

    def texts(self) -> set[str]:
        return {result.text for result in self.served}

    def quantile(self, part: float) -> float:
        """Return the seconds that this part of the calls stayed within."""
        return sorted(self.seconds)[max(0, math.ceil(part * self.calls) - 1)]


async def call(router: Router, outcomes: Outcomes, request: GenerateRequest = ASK) -> None:
    """Make one call and note how it ended."""
    begun = anyio.current_time()
    try:
        outcomes.served.append(await router.generate(request))
    except RouterError as error:
        outcomes.errors.append(error)
    outcomes.seconds.append(anyio.current_time() - begun)


async def drive(
    router: Router,
    calls: int,
    *,
    in_flight: int = 32,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    request: GenerateRequest = ASK,
    spread: bool = False,
) -> Outcomes:
    """Keep `in_flight` calls running until `calls` were made and `meanwhile` is over.

    All prompts begin alike, so that one replica has them all, unless they are to be spread.
    """
    outcomes = Outcomes()
    busy, begun = meanwhile is not None, 0

    async def client() -> None:
        nonlocal begun
        while begun < calls or busy:
            begun += 1
            asked = replace(request, prompt=f"{begun}. {request.prompt}") if spread else request
            await call(router, outcomes, asked)

    async with anyio.create_task_group() as tasks:
        for _ in range(in_flight):
            tasks.start_soon(client)
        if meanwhile:
            await meanwhile()
            busy = False
    return outcomes
