"""Ollama's streamed answer: bytes in, text to the listener, a completion at the end. Does no I/O itself.

A 200 says nothing. An answer is complete only with `"done": true` and a reason of `stop` or `length`: where
llama-server fails midway the stream just ends, empty or cut, with a clean last chunk (Ollama #1, #2, #10).

The `ollama` client's own reader is not used: it splits lines at U+0085 within JSON strings, as `str.splitlines`
does, and lets AttributeError and TypeError out when a line is JSON but no object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from router_mcp.domain import Completion, Usage
from router_mcp.errors import AttemptError, BrokenStreamError, OutputInvalidError, UnsupportedConstraintError

if TYPE_CHECKING:
    from router_mcp.domain import Call, Listener

MAX_LINE = 8 * 1024 * 1024
"""Bytes that one line may take; a runtime that sends more without a line end is broken."""
MAX_REPEATS = 30
"""Ollama ends an answer without a word when more equal tokens than this come in a row (Ollama #2)."""
REPEAT_ERROR = "prediction aborted, token repeat limit reached"
"""What newer releases say instead of ending in silence."""


class _Message(BaseModel):
    content: str | None = None
    thinking: str | None = None


class _Line(BaseModel):
    message: _Message = _Message()
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


class Answer:
    """One answer as it arrives. Whatever is wrong with it is raised as an `AttemptError`."""

    __slots__ = ("_call", "_finish", "_held", "_held_bytes", "_last", "_listener", "_repeats", "_texts", "_usage")

    def __init__(self, call: Call, listener: Listener) -> None:
        self._call = call
        self._listener = listener
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._texts: list[str] = []
        self._last = ""
        self._repeats = 0
        self._finish: Literal["stop", "length"] | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """Whether the line that says how the answer ended was seen; what follows it does not count."""
        return self._finish is not None

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come off the wire; lines and characters may be cut anywhere."""
        if self.finished:
            return
        first, *others = chunk.split(b"\n")
        self._hold(first)
        for start in others:
            self._end_line()
            self._hold(start)

    def completion(self) -> Completion:
        """Return the whole answer; raise when it ended before it said how, or holds thinking only."""
        self._end_line()
        if self._finish is None:
            raise self._unfinished()
        if self._finish == "length" and not self._texts:
            raise OutputInvalidError(
                f"{self._call.model} spent all of its {self._call.max_output_tokens} output tokens before its answer "
                "began. Raise max_output_tokens, or use a model that does not think first.",
                reason="truncated",
            )
        return Completion(text="".join(self._texts), finish_reason=self._finish, usage=self._usage)

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._held.append(piece)
            self._held_bytes += len(piece)
            if self._held_bytes > MAX_LINE:
                raise self._broken("sent a line without end")

    def _end_line(self) -> None:
        line = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if not self.finished and line.strip():
            try:
                read = _Line.model_validate_json(line)
            except ValidationError as error:
                raise self._broken("sent a line that cannot be read") from error
            self._take(read)

    def _take(self, line: _Line) -> None:
        if line.error is not None:
            raise self._failed(line.error)
        if line.message.thinking:
            self._listener.alive()
        if text := line.message.content:
            self._count(text.strip())
            self._texts.append(text)
            self._listener.text(text)
        if line.done:
            self._finish = self._reason(line.done_reason)
            self._usage = Usage(
                input_tokens=max(0, line.prompt_eval_count or 0), output_tokens=max(0, line.eval_count or 0)
            )

    def _count(self, word: str) -> None:
        self._repeats = self._repeats + 1 if word == self._last else 1
        self._last = word

    def _reason(self, reason: str | None) -> Literal["stop", "length"]:
        match reason:
            case "stop" | "length":
                return reason
            case "load" | "unload":
                raise self._broken("loaded or unloaded the model, but did not answer")
            case _:
                raise self._broken("gave up its answer midway")

    def _failed(self, error: object) -> AttemptError:
        # No other text is looked at: it may be about somebody else's request (Ollama #9).
        if error == REPEAT_ERROR:
            return looped(self._call.model)
        return self._broken("reported a failure within its answer")

    def _unfinished(self) -> AttemptError:
        if self._repeats >= MAX_REPEATS:
            return looped(self._call.model)
        if self._call.constraint is not None and not self._texts:
            # A schema that nothing can satisfy ends so (Ollama #1), and the endpoint is well all the same.
            return UnsupportedConstraintError(
                f"{self._call.endpoint} found no first token that the constraint allows. Check that it can be met."
            )
        return self._broken("ended its answer without saying that it was done")

    def _broken(self, what: str) -> BrokenStreamError:
        return BrokenStreamError(f"{self._call.endpoint} {what}. Look at its log, and check its URL in the policy.")


def looped(model: str) -> OutputInvalidError:
    """Return what it means that Ollama's repeat guard ended an answer: nobody's health is at stake (Ollama #2)."""
    message = f"{model} repeated one token until Ollama stopped it. Change the prompt or the temperature."
    return OutputInvalidError(message, reason="degenerate")
