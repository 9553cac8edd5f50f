"""How a candidate does beside the model that it may replace: numbers that add up over processes, and their verdict.

Two questions, two standards. A promotion wants enough calls and every limit kept as measured. A rollback wants to
be sure, because it acts without asking: a part must lie beyond its limit by more than chance explains (the lower
end of Wilson's 95 % interval), and a median needs twenty calls on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from router_mcp.config.rollout_rules import RolloutRules

STEP = 1.15
"""Times to first token are counted in steps of this factor, so a median is known to 7 %."""
SMALLEST_S = 0.001
LARGEST_STEP = 90
FEWEST_TO_ACT = 5
"""Calls without which nothing is rolled back."""
FEWEST_FOR_SPEED = 20
_Z = 1.96


@dataclass(slots=True)
class Tally:
    """What was counted of one model."""

    attempts: int = 0
    failed: int = 0
    structured: int = 0
    """Attempts whose answer was checked against a constraint."""
    invalid: int = 0
    first_tokens: dict[int, int] = field(default_factory=dict)
    """How many first tokens came, by step of time."""
    tokens: int = 0
    writing_s: float = 0.0
    """Seconds in which those tokens were written, the wait for the first one left out."""

    def first_token(self, seconds: float) -> None:
        """Count a time to first token."""
        step = round(math.log(max(seconds, SMALLEST_S) / SMALLEST_S, STEP))
        step = min(step, LARGEST_STEP)
        self.first_tokens[step] = self.first_tokens.get(step, 0) + 1

    def add(self, other: Tally) -> None:
        """Add what another process counted."""
        self.attempts += other.attempts
        self.failed += other.failed
        self.structured += other.structured
        self.invalid += other.invalid
        for step, count in other.first_tokens.items():
            self.first_tokens[step] = self.first_tokens.get(step, 0) + count
        self.tokens += other.tokens
        self.writing_s += other.writing_s

    @property
    def error_rate(self) -> float:
        """The part of attempts that failed."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def invalid_rate(self) -> float:
        """The part of structured answers that broke their constraint."""
        return self.invalid / self.structured if self.structured else 0.0

    @property
    def first_token_p50_s(self) -> float | None:
        """The median time to first token; `None` without any."""
        half = sum(self.first_tokens.values()) / 2
        seen = 0
        for step in sorted(self.first_tokens):
            seen += self.first_tokens[step]
            if seen >= half:
                return float(SMALLEST_S * STEP**step)
        return None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second while writing; `None` without any."""
        return self.tokens / self.writing_s if self.writing_s > 0 else None


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    whole = Tally()
    for each in tallies:
        whole.add(each)
    return whole


def objections(model: Tally, candidate: Tally, rules: RolloutRules) -> tuple[str, ...]:
    """Return what speaks against promoting a candidate now; nothing when every limit is kept."""
    found = [
        f"the {name} had {tally.attempts} calls in the last {rules.window:g} s, and {rules.min_calls} are needed"
        for name, tally in (("canary", candidate), ("model", model))
        if tally.attempts < rules.min_calls
    ]
    if candidate.error_rate > model.error_rate + rules.error_rate:
        found.append(_failing(model, candidate, rules))
    if candidate.invalid_rate > model.invalid_rate + rules.structured_valid:
        found.append(_invalid(model, candidate, rules))
    return (*found, *_slow(model, candidate, rules))


def breaches(model: Tally, candidate: Tally, rules: RolloutRules) -> tuple[str, ...]:
    """Return which limits a candidate breaks beyond doubt; then it must not keep its traffic."""
    found = []
    if _surely_above(candidate.failed, candidate.attempts, model.error_rate + rules.error_rate):
        found.append(_failing(model, candidate, rules))
    if _surely_above(candidate.invalid, candidate.structured, model.invalid_rate + rules.structured_valid):
        found.append(_invalid(model, candidate, rules))
    if min(sum(each.first_tokens.values()) for each in (model, candidate)) >= FEWEST_FOR_SPEED:
        found.extend(_slow(model, candidate, rules))
    return tuple(found)


def _surely_above(bad: int, count: int, limit: float) -> bool:
    if count < FEWEST_TO_ACT:
        return False
    part, z2 = bad / count, _Z**2
    spread = _Z * math.sqrt(part * (1 - part) / count + z2 / (4 * count**2))
    return (part + z2 / (2 * count) - spread) / (1 + z2 / count) > limit


def _failing(model: Tally, candidate: Tally, rules: RolloutRules) -> str:
    return (
        f"{candidate.error_rate:.1%} of the canary's {candidate.attempts} calls failed; "
        f"the model's {model.error_rate:.1%} and {rules.error_rate:.1%} on top are allowed"
    )


def _invalid(model: Tally, candidate: Tally, rules: RolloutRules) -> str:
    return (
        f"{candidate.invalid_rate:.1%} of the canary's {candidate.structured} structured answers were invalid; "
        f"the model's {model.invalid_rate:.1%} and {rules.structured_valid:.1%} on top are allowed"
    )


def _slow(model: Tally, candidate: Tally, rules: RolloutRules) -> Iterable[str]:
    ours, theirs = candidate.first_token_p50_s, model.first_token_p50_s
    if ours and theirs and ours > theirs * rules.first_token:
        yield (
            f"the canary's first token comes after {ours:.2f} s in the median, the model's after {theirs:.2f} s; "
            f"{rules.first_token:g} times that is allowed"
        )
    fast, known = candidate.tokens_per_s, model.tokens_per_s
    if fast and known and fast < known * rules.tokens_per_s:
        yield (
            f"the canary writes {fast:.1f} tokens a second, the model {known:.1f}; "
            f"{rules.tokens_per_s:.0%} of that is required"
        )
