"""What the caller is told when a call could not be served. Pure; each message is a fact and a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embeddings_mcp.config.file import IN_PROCESS, EmbeddingsFile
from embeddings_mcp.errors import BadItem, ItemsInvalidError, ItemsTooLongError
from router_mcp.errors import AttemptError, BusyError, DeadlineError, NoRuntimeError, RejectedError, RouterError

SHOWN = 5
"""Texts that a message names; `items` of the error holds all."""
Failures = Sequence[tuple[str, AttemptError]]


def no_backend(file: EmbeddingsFile, failures: Failures) -> RouterError:
    """Say why no model of the space could serve, and what could be done instead."""
    errors = [error for _, error in failures]
    if isinstance(errors[-1], RejectedError):
        return errors[-1]
    waits = [error.retry_after_s for error in errors if error.retry_after_s is not None]
    after = min(waits) if waits else None
    told = " ".join(f"{model}: {error}" for model, error in failures)
    if all(error.code == "busy" for error in errors):
        return BusyError(f"{told} Try again later, or send fewer texts at once.", retry_after_s=after)
    return NoRuntimeError(f"{told}{_elsewhere(file, failures)}", retry_after_s=after)


def _elsewhere(file: EmbeddingsFile, failures: Failures) -> str:
    """Name models that need no server, with the warning that their vectors are not comparable."""
    spaces = {file.space(model) for model, _ in failures}
    inside = [
        name for name in file.models if file.backend_of(name).kind in IN_PROCESS and file.space(name) not in spaces
    ]
    if not inside:
        return ""
    return f" Or ask for model {inside[0]!r}, which needs no server (its vectors are of another space)."


def out_of_time(seconds: float, done: int, count: int) -> DeadlineError:
    """Say how far a call came before its deadline."""
    return DeadlineError(
        f"The deadline of {seconds:g} s struck when {done:,} of {count:,} texts were done. "
        "Send fewer texts in one call, or raise timeouts.call."
    )


def too_long(items: Iterable[tuple[int | None, str, int | None]], model: str, limit: int) -> ItemsTooLongError:
    """Name each text that is too long: its index (`None` for a query), the text, its tokens where known."""
    bad = tuple(
        BadItem(index=index, reason=_length(text, tokens), tokens=tokens)
        for index, text, tokens in sorted(items, key=lambda item: -1 if item[0] is None else item[0])
    )
    fact = f"{_listed(bad)}: longer than the {limit:,} tokens that {model} takes."
    return ItemsTooLongError(f"{fact} Split or shorten them, or pass truncate: true to have them cut.", bad)


def unusable(items: Iterable[tuple[int | None, str]], model: str) -> ItemsInvalidError:
    """Name each text that got no usable vector, and why."""
    bad = tuple(
        BadItem(index=index, reason=reason)
        for index, reason in sorted(items, key=lambda item: -1 if item[0] is None else item[0])
    )
    message = f"{model} made no usable vector for {_listed(bad)}. Leave them out or reword them, and look at its log."
    return ItemsInvalidError(message, bad)


def _length(text: str, tokens: int | None) -> str:
    return f"{len(text):,} characters" + (f", {tokens:,} tokens or more" if tokens else "")


def _listed(bad: Sequence[BadItem]) -> str:
    named = ", ".join(f"{item.name} ({item.reason})" for item in bad[:SHOWN])
    return named + (f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
