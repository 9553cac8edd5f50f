"""What the terminal shows of canaries: where one stands, how it does beside its model, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router_mcp.cli.tables import Column, FittedTable
from router_mcp.comparison import Tally
from router_mcp.operations.canary import Comparison
from router_mcp.operations.smoke import Check
from router_mcp.state.files import Canary, Past

_NOTHING = "–"


def numbers(tally: Tally) -> dict[str, Any]:
    """Return what was counted of one model, for `--json`."""
    first, speed = tally.first_token_p50_s, tally.tokens_per_s
    return {
        "calls": tally.attempts,
        "error_rate": round(tally.error_rate, 4),
        "first_token_p50_s": None if first is None else round(first, 4),
        "tokens_per_s": None if speed is None else round(speed, 2),
        "structured": tally.structured,
        "structured_invalid_rate": round(tally.invalid_rate, 4),
    }


def standing(canary: Canary) -> str:
    """Return in one line where a canary stands, and what it gets."""
    share = f"{'copies of ' if canary.shadow else ''}{canary.share:.0%} of calls"
    said = {
        "waiting": f"waiting for its smoke suite; then it gets {share}",
        "running": f"running; it gets {share}",
        "refused": f"refused; it gets no calls. {canary.reason}",
        "rolled_back": f"rolled back; it gets no calls. {canary.reason}",
        "changing": "changing places with its model; it gets no calls",
    }
    return f"{canary.candidate}: {said[canary.phase]}"


def next_step(model: str, canary: Canary, objections: Sequence[str]) -> str:
    """Return what an operator may do now."""
    command = "router-mcp canary"
    against = "\n".join(("It may not be promoted yet:", *(f"- {each}" for each in objections)))
    said = {
        "waiting": f"Next: `{command} smoke {model}`",
        "running": against if objections else f"It may be promoted: `{command} promote {model}`",
        "refused": f"Mend it, then test it again: `{command} smoke {model}`",
        "rolled_back": f"Mend it, then begin anew: `{command} start {model}`",
        "changing": f"Bring that to its end: `{command} promote {model}` or `{command} rollback {model}`",
    }
    return said[canary.phase]


def comparison(compared: Comparison) -> FittedTable:
    """Return both side by side."""
    table = FittedTable("", (Column("in the window"), Column("model"), Column("canary")))
    for name, *both in zip(_ROWS, _cells(compared.model), _cells(compared.candidate), strict=True):
        table.add(name, *both)
    return table


_ROWS = ("calls", "failed", "first token, median", "tokens a second", "structured answers", "invalid among them")


def _cells(tally: Tally) -> tuple[str, ...]:
    first, speed = tally.first_token_p50_s, tally.tokens_per_s
    return (
        f"{tally.attempts:,}",
        f"{tally.error_rate:.1%}" if tally.attempts else _NOTHING,
        _NOTHING if first is None else f"{first:.2f} s",
        _NOTHING if speed is None else f"{speed:.1f}",
        f"{tally.structured:,}",
        f"{tally.invalid_rate:.1%}" if tally.structured else _NOTHING,
    )


def checks(done: Sequence[Check]) -> FittedTable:
    """Return how each check of a smoke suite went."""
    table = FittedTable(
        "Smoke suite", (Column("check", wraps=True), Column(""), Column("seconds", 1), Column("detail", wraps=True))
    )
    for check in done:
        word, style = ("passed", "green") if check.passed else ("failed", "red")
        table.add(check.name, word, f"{check.seconds:.2f}", check.detail, style=style)
    return table


def past(over: Past) -> str:
    """Return one promotion, or its undoing, in a line."""
    did = "took its model's place" if over.what == "promote" else "gave its model's place back"
    return f"{over.at}: {over.candidate} {did} in {over.policy}; the file before: {over.backup}"
