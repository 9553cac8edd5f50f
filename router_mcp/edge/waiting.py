"""What a caller who waits is told, read from the call's `Attention`."""

from __future__ import annotations

from dataclasses import dataclass

from router_mcp.admission import AdmissionBook
from router_mcp.stream import Attention


@dataclass(frozen=True, slots=True)
class Waiting:
    """A `ProgressSource` for one call."""

    attention: Attention
    book: AdmissionBook

    @property
    def count(self) -> float:
        """Tokens received so far, over all attempts."""
        return float(self.attention.tokens)

    def describe(self) -> str:
        """Say where the call is: in a queue and at which place, or how much has been written."""
        waiter = self.attention.waiter
        position = self.book.position(waiter) if waiter else None
        if position is not None:
            return f"{self.attention.phase}, position {position} in the queue"
        return f"{self.attention.phase}, {self.attention.tokens} tokens so far"
