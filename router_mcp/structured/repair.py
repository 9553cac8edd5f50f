"""The turns that ask a model to put its own answer right: once, and briefly."""

from __future__ import annotations

from typing import Final

from router_mcp.domain import Message
from router_mcp.errors import OutputInvalidError
from router_mcp.structured.prepared import Prepared

SHOWN: Final = 3_000
"""Characters of the wrong answer that the model sees again."""

_EMPTY: Final = "(no answer)"


def repair_messages(prepared: Prepared, answer: str, error: OutputInvalidError) -> tuple[Message, ...]:
    """The model's own answer, shortened, and a turn that says what was wrong with it.

    What had no end is not shown again: a model goes on with what it sees, and reading it costs the caller's time.
    """
    if error.reason == "degenerate":
        return (Message(role="user", content=f"Answer briefly and do not repeat yourself. {_form(prepared)}"),)
    if error.reason == "truncated":
        asked = f"Give a short answer: a longer one was cut before its end. {_form(prepared)}"
        return (Message(role="user", content=asked),)
    wrong = "\n".join(f"- {violation}" for violation in error.violations)
    asked = f"That answer is not valid:\n{wrong}\nGive the whole answer again with this put right. {_form(prepared)}"
    return Message(role="assistant", content=_excerpt(answer)), Message(role="user", content=asked)


def _form(prepared: Prepared) -> str:
    if prepared.kind == "json_schema":
        return "Write only the JSON, with no explanation and no code fence."
    return "Write only the answer itself."


def _excerpt(answer: str) -> str:
    text = answer.encode("utf-8", "replace").decode()
    if len(text) > SHOWN:
        half = SHOWN // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return text.strip() or _EMPTY
