"""One attempt as it runs: the text so far, when it must speak next, and what a caller who waits can be told.

The router streams from the runtime to see stalls, not to the caller: a tool's result is atomic, so a stream
that breaks can be served by the next candidate and nobody ever sees two models spliced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from router_mcp.budget import Budget
from router_mcp.domain import Endpoint
from router_mcp.errors import AttemptError, OutOfTimeError, OutputInvalidError, StalledError
from router_mcp.line import Waiter
from router_mcp.pulse import Listening

Clock = Callable[[], float]


@dataclass(slots=True)
class Attention:
    """What a caller who waits can be told: where the call is, and how much has been written."""

    phase: str = "routing"
    tokens: int = 0
    waiter: Waiter | None = None
    on_text: Callable[[str], None] | None = None
    """Told each piece of an attempt's text; for a terminal, which may show what is then thrown away."""
    on_restart: Callable[[str], None] | None = None
    """Told why what was shown so far does not count."""

    def waits(self, waiter: Waiter | None) -> None:
        """Note that the caller stands in a queue, or no longer does."""
        self.waiter = waiter


@dataclass(slots=True, kw_only=True)
class Stream:
    """The `Listener` of one attempt: collects its text and keeps its cancel scope's deadline ahead of it."""

    clock: Clock
    budget: Budget
    limit: float
    """When the attempt must have said its next word."""
    attention: Attention
    listening: Listening
    """Where it is noted when a word came."""
    degenerate: Callable[[str], bool] | None = None
    """Tells whether the text has become endless white space or a loop."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    first_token_at: float | None = None
    looping: bool = False
    tokens: int = 0
    _pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scope.deadline = self.limit

    def text(self, delta: str) -> None:
        """Take a piece of the answer."""
        self._pieces.append(delta)
        self.tokens += 1
        self.attention.tokens += 1
        self.alive()
        if self.attention.on_text:
            self.attention.on_text(delta)
        if self.degenerate is not None and not self.looping and self.degenerate(delta):
            self.looping = True
            self.scope.cancel()

    def alive(self) -> None:
        """Note progress of any kind: the next word is due an inter-token limit from now."""
        now = self.listening.heard_at = self.clock()
        first = self.first_token_at is None
        if first:
            self.first_token_at = now
        # Moving a scope's deadline makes a timer, so it is moved in quarters of the limit, not at every token.
        if first or self.scope.deadline - now < self.budget.inter_token_s:
            ahead = min(self.budget.deadline, now + 1.25 * self.budget.inter_token_s)
            if ahead != self.scope.deadline:
                self.scope.deadline = ahead

    @property
    def partial(self) -> str:
        """What the model said so far."""
        return "".join(self._pieces)

    def overdue(self, endpoint: Endpoint, share_s: float) -> AttemptError:
        """Return why the scope was cancelled: a loop, a stall, or a caller with little time.

        An endpoint is blamed for silence only when it was silent for about as long as the policy would have
        waited (`share_s`, its share of the task's own deadline); a caller who gave it half a second proves nothing.
        """
        if self.looping:
            text = "The answer ran into endless repetition and was cut off."
            return OutputInvalidError(text, reason="degenerate", violations=("the answer repeats itself without end",))
        last_at = self.listening.heard_at
        silent_s = self.clock() - (self.listening.begun if last_at is None else last_at)
        what = "said nothing" if last_at is None else "fell silent in mid-answer"
        if silent_s < min(self.budget.silence_s, share_s) * 0.9:
            return OutOfTimeError(f"{endpoint} was at work when its time ended. Allow more time, or ask for less.")
        return StalledError(f"{endpoint} {what} for {silent_s:.1f} s. Look at its log and its load.")
