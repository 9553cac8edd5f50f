"""Whether an answer satisfies the constraint: always the caller's own, whatever the runtime was asked for."""

from __future__ import annotations

from typing import Any, Final

from router_mcp.domain import Choices
from router_mcp.errors import OutputInvalidError
from router_mcp.structured import recogniser, strict_json
from router_mcp.structured.compile import Compiled
from router_mcp.structured.degeneration import Degeneration
from router_mcp.structured.grammar import CheckedGrammar
from router_mcp.structured.limits import ANSWER_CHARS
from router_mcp.structured.patterns import Pattern
from router_mcp.structured.prepared import Prepared, SchemaSubject
from router_mcp.structured.validation import UncheckableError, errors_of
from router_mcp.structured.violations import shortened, words

_REMEDY: Final = "Try again, simplify the constraint, or use a stronger model."


def check(prepared: Prepared, compiled: Compiled, text: str, finish_reason: str) -> Any:
    """The value that the answer stands for: JSON data for a schema, a text for the others.

    Numbers in data are exact integers, or doubles; what is returned can be written as JSON without loss. Raises
    only `OutputInvalidError`, with the reason `truncated`, `not_json`, `violation` or `degenerate`.
    """
    cut = finish_reason == "length"
    match prepared.subject:
        case SchemaSubject():
            return _data(prepared.subject, text, cut=cut)
        case subject:
            return _text(subject, compiled.unwrap(text), cut=cut)


def _data(subject: SchemaSubject, text: str, *, cut: bool) -> Any:
    try:
        value = strict_json.loads(text)
    except strict_json.NotJsonError as wrong:
        if Degeneration().feed(text):
            raise _degenerate() from wrong
        if cut:
            raise _truncated() from wrong
        raise OutputInvalidError(
            f"The answer is not one JSON value: {wrong}. {_REMEDY}", reason="not_json", violations=(f"/: {wrong}",)
        ) from wrong
    if cut and isinstance(value, int | float) and not isinstance(value, bool):
        raise _truncated()  # its last digits may be missing
    try:
        errors = errors_of(subject.document, subject.patterns, value)
    except UncheckableError as endless:
        raise _violation(("/: is too large or too deeply nested to be checked; answer more simply",)) from endless
    if errors:
        raise _violation(tuple(dict.fromkeys(map(words, errors))))
    return value


def _text(subject: Choices | Pattern | CheckedGrammar, text: str, *, cut: bool) -> str:
    if len(text) <= ANSWER_CHARS:
        for candidate in dict.fromkeys((text, text.strip())):
            if _satisfies(subject, candidate):
                return candidate
    if Degeneration().feed(text):
        raise _degenerate()
    raise _truncated() if cut else _violation((_asked(subject),))


def _satisfies(subject: Choices | Pattern | CheckedGrammar, text: str) -> bool:
    try:
        text.encode()
        match subject:
            case Choices(options):
                return text in options
            case Pattern():
                return subject.matches(text)
            case CheckedGrammar():
                return recogniser.contains(subject.language, text)
    except (recogniser.TooManyStepsError, UnicodeEncodeError):
        return False


def _asked(subject: Choices | Pattern | CheckedGrammar) -> str:
    match subject:
        case Choices(options):
            return shortened(f"/: must be exactly one of: {' | '.join(options[:50])}", 300)
        case Pattern():
            return "/: the whole answer must match the regular expression"
        case CheckedGrammar():
            return "/: the whole answer must be a sentence of the grammar"


def _violation(violations: tuple[str, ...]) -> OutputInvalidError:
    return OutputInvalidError(
        f"The answer breaks the constraint: {'; '.join(violations)}. {_REMEDY}",
        reason="violation",
        violations=violations,
    )


def _truncated() -> OutputInvalidError:
    return OutputInvalidError(
        "The answer was cut at the output limit before it was complete. Allow more output tokens or ask for less.",
        reason="truncated",
        violations=("/: the answer was cut at the output limit before it was complete",),
    )


def _degenerate() -> OutputInvalidError:
    return OutputInvalidError(
        f"The answer ran into white space or a loop without an end. {_REMEDY}",
        reason="degenerate",
        violations=("/: the answer repeated itself without an end",),
    )
