"""Everything the router raises on purpose; each class carries its consequence.

    RouterError                      code                    retryable by the caller
    ├─ ConfigError                   (start-up and reload only; names file, line, key and remedy)
    ├─ InvalidArgumentsError         invalid_arguments       no
    ├─ UnknownTaskError              unknown_task            no
    ├─ WrongServerError              wrong_server            no
    ├─ SchemaInvalidError            schema_invalid          no
    ├─ BusyError                     busy                    yes, after retry_after_s
    ├─ DeadlineError                 deadline                yes
    ├─ NoRuntimeError                backend_unavailable     yes
    └─ AttemptError                  one try failed          blames          try next
       ├─ UnreachableError           backend_unavailable     endpoint        yes
       ├─ StalledError               deadline                endpoint        yes
       ├─ OutOfTimeError             deadline                nobody          yes
       ├─ StoodBackError             backend_unavailable     nobody          yes
       ├─ ServerFailedError          backend_unavailable     endpoint        yes
       ├─ BrokenStreamError          backend_unavailable     endpoint        yes
       ├─ OverloadedError            busy                    nobody          yes
       ├─ QueueFullError             busy                    nobody          yes
       ├─ UnauthorizedError          backend_unavailable     configuration   yes
       ├─ ModelMissingError          backend_unavailable     model           yes
       ├─ ModelUnusableError         backend_unavailable     model           yes
       ├─ ContextTooLongError        context_too_long        nobody          yes
       ├─ UnsupportedConstraintError unsupported_constraint  nobody          yes
       │  └─ QuarantinedError        unsupported_constraint  nobody          yes
       ├─ OutputInvalidError         output_invalid          nobody          yes
       └─ RejectedError              rejected                nobody          no

`blames` and `try_next` are class attributes: this table is the code. The adapter that meets a foreign exception maps
it. `str(error)` is a fact and a remedy for callers: no unchecked upstream text, no secret, no URL with credentials.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from router_mcp.domain import Receipt

Blame = Literal["endpoint", "model", "configuration", "nobody"]


class RouterError(Exception):
    """Base of everything raised on purpose. `receipt` tells how far the call got, once the router knows."""

    code: ClassVar[str] = "rejected"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.receipt: Receipt | None = None


class ConfigError(RouterError):
    """A configuration that cannot be used; the message names file, line, key and remedy, a line each."""

    code = "config"


class InvalidArgumentsError(RouterError):
    """The caller's arguments are not what the tool takes."""

    code = "invalid_arguments"


class UnknownTaskError(RouterError):
    """The policy has no such task; the message lists those it has."""

    code = "unknown_task"


class WrongServerError(RouterError):
    """The task is served by the embeddings server; the message names the tool to use."""

    code = "wrong_server"


class SchemaInvalidError(RouterError):
    """The constraint itself is wrong or dangerous; the message names the place in it."""

    code = "schema_invalid"


class BusyError(RouterError):
    """Every runtime that could serve the task is full, and so are their queues."""

    code = "busy"
    retryable = True


class DeadlineError(RouterError):
    """The call's deadline struck before any text was there to return."""

    code = "deadline"
    retryable = True


class NoRuntimeError(RouterError):
    """Every candidate failed for its own reason; the message names each with what to do."""

    code = "backend_unavailable"
    retryable = True


class AttemptError(RouterError):
    """One try failed. `blames` says whose health it hurts, `try_next` whether another candidate may help."""

    blames: ClassVar[Blame] = "endpoint"
    try_next: ClassVar[bool] = True
    outcome: ClassVar[str] = "failed"
    """The word for it in receipts and metric labels."""


class UnreachableError(AttemptError):
    """No connection: refused, reset, DNS, TLS, or closed before an answer."""

    code = "backend_unavailable"
    retryable = True
    outcome = "unreachable"


class StalledError(AttemptError):
    """Connected, but no token came in the time that one should."""

    code = "deadline"
    retryable = True
    outcome = "stalled"


class OutOfTimeError(AttemptError):
    """The caller's own short deadline struck before anyone could say that the runtime is slow."""

    code = "deadline"
    retryable = True
    blames = "nobody"
    outcome = "out_of_time"


class StoodBackError(AttemptError):
    """The endpoint became unwell while the call waited for it: nothing was sent."""

    code = "backend_unavailable"
    retryable = True
    blames = "nobody"
    outcome = "stood_back"


class ServerFailedError(AttemptError):
    """A 5xx that is not about load."""

    code = "backend_unavailable"
    retryable = True
    outcome = "server_failed"


class BrokenStreamError(AttemptError):
    """An answer that began well and did not end well: cut, garbage, empty, or an error inside a 200."""

    code = "backend_unavailable"
    retryable = True
    outcome = "broken_stream"


class OverloadedError(AttemptError):
    """429, or a 503 that says the queue is full. Nobody's fault: wait for `retry_after_s`."""

    code = "busy"
    retryable = True
    blames = "nobody"
    outcome = "overloaded"


class QueueFullError(AttemptError):
    """The router's own queue for a runtime is full: nothing was sent."""

    code = "busy"
    retryable = True
    blames = "nobody"
    outcome = "queue_full"


class UnauthorizedError(AttemptError):
    """401 or 403: the key is missing or wrong. A matter of configuration, so it is said so."""

    code = "backend_unavailable"
    blames = "configuration"
    outcome = "unauthorized"


class ModelMissingError(AttemptError):
    """The endpoint is well but does not have the model."""

    code = "backend_unavailable"
    blames = "model"
    outcome = "model_missing"


class ModelUnusableError(AttemptError):
    """The endpoint is well and lists the model, but cannot run it: its file is damaged, or memory is short."""

    code = "backend_unavailable"
    blames = "model"
    outcome = "model_unusable"


class ContextTooLongError(AttemptError):
    """The prompt does not fit this model's context window."""

    code = "context_too_long"
    blames = "nobody"
    outcome = "context_too_long"


class UnsupportedConstraintError(AttemptError):
    """This runtime cannot enforce this constraint."""

    code = "unsupported_constraint"
    blames = "nobody"
    outcome = "unsupported_constraint"


class QuarantinedError(UnsupportedConstraintError):
    """The runtime's engine failed with this constraint a while ago: nothing was sent, and if `proven`, nothing will."""

    outcome = "quarantined"
    proven = False


class OutputInvalidError(AttemptError):
    """The answer breaks the constraint; `violations` says how, in words a model can repair from."""

    code = "output_invalid"
    retryable = True
    blames = "nobody"
    outcome = "output_invalid"

    def __init__(self, message: str, *, reason: str = "violation", violations: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        """`truncated`, `not_json`, `violation` or `degenerate`: the label of the repair metric."""
        self.violations = violations


class RejectedError(AttemptError):
    """The runtime refused the request itself (400, 413, 422): no other try would help."""

    blames = "nobody"
    try_next = False
    outcome = "rejected"
