"""What a person sees: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from router_mcp.domain import GenerateResult, Receipt
from router_mcp.errors import RouterError

PAGE = 120
STATE_STYLE = {
    "healthy": "green",
    "recovering": "yellow",
    "unknown": "dim",
    "unhealthy": "red",
    "demoted": "bold red",
}


def stdout() -> Console:
    """Return a console on stdout; what is not a terminal is as wide as a page, unless COLUMNS says otherwise."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PAGE
    return console


def stderr() -> Console:
    """Return a console on stderr."""
    return Console(stderr=True, highlight=False)


def say(message: str, style: str = "") -> None:
    """Say how it went, beside the answer: paths and commands stay in one piece."""
    stderr().print(Text(message, style=style), soft_wrap=True)


def complain(message: str) -> None:
    """Say what went wrong."""
    say(message, "red")


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def report_failure(error: RouterError) -> None:
    """Say what went wrong on stderr; with `--json` on stdout too, so that a program reads one object in any case."""
    complain(str(error))
    if "--json" not in sys.argv[1:]:
        return
    about: dict[str, Any] = {"code": error.code, "retryable": error.retryable, "message": str(error)}
    if error.retry_after_s is not None:
        about["retry_after_s"] = error.retry_after_s
    print_json({"error": about, **({"receipt": asdict(error.receipt)} if error.receipt else {})})


def show_receipt(receipt: Receipt, result: GenerateResult | None) -> None:
    """Show on stderr how an answer came about: one line, and one more for each attempt that failed."""
    console = stderr()
    if result is not None:
        used = f"{result.usage.input_tokens} → {result.usage.output_tokens} tokens"
        first = receipt.time_to_first_token_s
        seen = f", first after {first:.2f} s" if first is not None else ""
        line = Text(f"{result.model}", style="bold")
        line.append(f" on {result.runtime}, {receipt.seconds:.2f} s{seen}, {used}, {result.finish_reason}", style="dim")
        console.print(line)
    for attempt in receipt.attempts:
        if attempt.outcome != "ok":
            console.print(Text(f"  {attempt.model}: {attempt.outcome} after {attempt.seconds:.2f} s", style="yellow"))
    for note in receipt.notes:
        console.print(Text(f"  {note}", style="yellow"))


def result_json(result: GenerateResult, *, structured: bool = False) -> dict[str, Any]:
    """Return a result as the `--json` of a command shows it: the tool's fields and the receipt."""
    fields = asdict(result)
    receipt, data = fields.pop("receipt"), fields.pop("data")
    if structured:
        fields["data"] = data
    if not result.fallback_from:
        fields.pop("fallback_from")
    return {**fields, "receipt": receipt}
