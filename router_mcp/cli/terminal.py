"""What a person sees: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from router_mcp.domain import GenerateResult, Receipt

STATE_STYLE = {
    "healthy": "green",
    "recovering": "yellow",
    "unknown": "dim",
    "unhealthy": "red",
    "demoted": "bold red",
}


def stderr() -> Console:
    """Return a console on stderr."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Say what went wrong."""
    stderr().print(Text(message, style="red"), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


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


def result_json(result: GenerateResult) -> dict[str, Any]:
    """Return a result as the `--json` of a command shows it: the tool's fields and the receipt."""
    fields = asdict(result)
    receipt = fields.pop("receipt")
    if result.data is None:
        fields.pop("data")
    return {**fields, "receipt": receipt}
