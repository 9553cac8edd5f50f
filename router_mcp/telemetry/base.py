"""What the router tells whoever watches: frozen facts through one small Protocol, with no effect on any call.

Listeners never raise and never wait. Metrics, spans, the log line of a call and the history that the status page
shows are listeners; with none, nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from router_mcp.domain import Call, Completion, GenerateRequest, GenerateResult, Receipt, RuntimeKind
from router_mcp.errors import AttemptError, RouterError


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A model is about to be asked."""

    call: Call
    model: str
    """The catalog's name."""
    kind: RuntimeKind
    task: str
    attempt: int
    """Counts from 1 within the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """An attempt said its first word, `seconds` after it began."""

    started: AttemptStarted
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt is over: with a completion, with an error, or with neither when the caller went away."""

    started: AttemptStarted
    seconds: float
    completion: Completion | None = None
    error: AttemptError | None = None

    @property
    def outcome(self) -> str:
        """`ok`, `cancelled`, or the outcome of the error that ended it."""
        return self.error.outcome if self.error else "ok" if self.completion else "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A call got a slot on a runtime, or gave up waiting for one, after `seconds` (0 when one was free)."""

    runtime: str
    model: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """A call moved on from one model to another."""

    task: str
    model: str
    to: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A structured answer was invalid and is asked for again."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A call was answered."""

    request: GenerateRequest
    result: GenerateResult

    @property
    def receipt(self) -> Receipt:
        """How the answer came about."""
        return self.result.receipt

    @property
    def outcome(self) -> str:
        """`ok`, or `deadline` for an answer that was cut by it."""
        return "deadline" if self.result.finish_reason == "deadline" else "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call ended in an error."""

    request: GenerateRequest
    error: RouterError
    receipt: Receipt

    @property
    def outcome(self) -> str:
        """The error's stable code."""
        return self.error.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The caller went away before its call had an answer."""

    request: GenerateRequest
    receipt: Receipt

    @property
    def outcome(self) -> str:
        """Always `cancelled`."""
        return "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The configuration was read again: `ok`, or `refused` and the last good one kept."""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged:
    """The event loop was `seconds` late for an appointment: whatever kept it, every call waited as long."""

    seconds: float


CallEnded: TypeAlias = Answered | Refused | Cancelled
Event: TypeAlias = Queued | FirstToken | AttemptEnded | FellBack | Repaired | CallEnded | Reloaded | LoopLagged


class Telemetry(Protocol):
    """Hears the life of every call."""

    def started(self, event: AttemptStarted) -> str | None:
        """Hear that an attempt starts; return the `traceparent` to send to the runtime, if there is a trace."""
        ...

    def tell(self, event: Event) -> None:
        """Hear everything else."""
        ...


@dataclass(frozen=True, slots=True)
class Listeners:
    """Telemetry for any number of listeners, none included."""

    each: tuple[Telemetry, ...] = ()

    def started(self, event: AttemptStarted) -> str | None:
        """Tell each; return the first trace that one has."""
        trace = None
        for listener in self.each:
            trace = listener.started(event) or trace
        return trace

    def tell(self, event: Event) -> None:
        """Tell each."""
        for listener in self.each:
            listener.tell(event)


def all_of(*telemetry: Telemetry | None) -> Listeners:
    """Return all that there are as one list; lists within lists would be gone through at every event."""
    each: list[Telemetry] = []
    for one in telemetry:
        each += one.each if isinstance(one, Listeners) else () if one is None else (one,)
    return Listeners(tuple(each))
