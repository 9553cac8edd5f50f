"""One deadline per call, divided among its attempts. Pure; times are seconds on one monotonic clock.

Peers multiply timeouts by retries: `timeout=3` became 27 s (gateways.md B4). Here the call's deadline is
fixed once, and each attempt may be silent for its share only, so that every fallback still has its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The time of one call."""

    started: float
    deadline: float
    inter_token_s: float
    """Silence within an answer after which the next candidate is asked; shorter in a call that was shortened."""
    silence_s: float
    """Silence that is held against an endpoint: what the policy says, whatever the caller had time for."""

    def remaining(self, now: float) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.deadline - now)

    def first_token_by(self, now: float, candidates_left: float) -> float:
        """Return when an attempt that begins now must have said its first word.

        `candidates_left` counts this attempt too, and one in doubt as a part: the last has all that is left. Once words
        come, the attempt may use the rest of the call, for a good answer that is long is not a failure.
        """
        return now + self.remaining(now) / max(1, candidates_left)


def make_budget(*, now: float, policy_s: float, asked_s: float | None, inter_token_s: float) -> Budget:
    """Make the budget of a call; the caller may only shorten what the policy allows."""
    seconds = policy_s if asked_s is None else max(0.0, min(policy_s, asked_s))
    part = seconds / policy_s if policy_s else 1.0
    return Budget(started=now, deadline=now + seconds, inter_token_s=inter_token_s * part, silence_s=inter_token_s)
