"""What the contract tests ask a runtime for, and the ear that they listen with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from router_mcp.domain import Call, Endpoint, Message

FRANCE = "What is the capital of France?"


@dataclass(slots=True)
class Heard:
    """A listener that keeps what it was told."""

    texts: list[str] = field(default_factory=list)
    signs: int = 0

    def text(self, delta: str) -> None:
        self.texts.append(delta)

    def alive(self) -> None:
        self.signs += 1


def a_call(endpoint: Endpoint, prompt: str = FRANCE, **changes: Any) -> Call:
    """Return a greedy call for a few tokens of the small model, with `changes`."""
    call = Call(
        endpoint=endpoint,
        model="smollm2",
        messages=(Message(role="user", content=prompt),),
        temperature=0.0,
        max_output_tokens=24,
        context_window=2048,
        request_id="contract-1",
    )
    return replace(call, **changes)
