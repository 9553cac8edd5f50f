"""What the embedder tells whoever watches: frozen facts through one small Protocol, with no effect on any call.

Listeners never raise and never wait. With none, nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from router_mcp.domain import Endpoint
from router_mcp.errors import AttemptError

Operation: TypeAlias = Literal["embed", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStarted:
    """A batch is about to be sent."""

    request_id: str
    model: str
    """The catalog's name."""
    served_name: str
    kind: str
    endpoint: Endpoint
    texts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnded:
    """A batch is over: served, failed with `error`, or neither when the caller went away."""

    started: BatchStarted
    seconds: float
    served: bool = False
    input_tokens: int = 0
    error: AttemptError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """A call is over. `model` is the one that served, else the last that was asked."""

    request_id: str
    operation: Operation
    model: str
    outcome: str
    """`ok`, the `code` of the error, or `cancelled` when the caller went away."""
    seconds: float
    texts: int
    input_tokens: int = 0
    cache_hits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """A call moved on to another model of the same space."""

    model: str
    to: str
    reason: str


Event: TypeAlias = BatchEnded | CallEnded | FellBack


class Telemetry(Protocol):
    """Hears the life of every call."""

    def started(self, event: BatchStarted) -> str | None:
        """Hear that a batch starts; return the `traceparent` to send with it, if there is a trace."""
        ...

    def tell(self, event: Event) -> None:
        """Hear everything else."""
        ...


@dataclass(frozen=True, slots=True)
class Listeners:
    """Telemetry for any number of listeners, none included."""

    each: tuple[Telemetry, ...] = ()

    def started(self, event: BatchStarted) -> str | None:
        """Tell each; return the first trace that one has."""
        traces = [listener.started(event) for listener in self.each]
        return next((trace for trace in traces if trace), None)

    def tell(self, event: Event) -> None:
        """Tell each."""
        for listener in self.each:
            listener.tell(event)
