"""What follows from a failed attempt, and what a caller is told when nothing served. Pure.

In the final error the most useful cause wins: what the caller can change, then when to come back, then what
is broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router_mcp.errors import (
    AttemptError,
    BusyError,
    ContextTooLongError,
    DeadlineError,
    NoRuntimeError,
    OutputInvalidError,
    QuarantinedError,
    RejectedError,
    RouterError,
    StoodBackError,
    UnsupportedConstraintError,
)
from router_mcp.health import WELL
from router_mcp.policy import REPLICA_TRIES, Plan, Step
from router_mcp.ranks import DOUBTFUL
from router_mcp.record import NOT_SENT, CallRecord

REPAIRS = 1
"""Times that a model is shown what was wrong with its answer before the next model is asked."""
DOUBT_PART = 0.25
"""Part of a candidate's time that all those in doubt have together."""
_BUSY = frozenset({"overloaded", "queue_full"})
_ASKED_WRONGLY = (OutputInvalidError, ContextTooLongError, UnsupportedConstraintError)
"""What the caller can change; of these an invalid answer comes first, for a model did answer."""


def shares(step: Step, route: Sequence[Step]) -> float:
    """Return among how many the time that is left is divided: this step and those that may well serve.

    A step that is itself in doubt shares with all that are left; others leave those in doubt a small part, for
    one of them may be up again. A second replica counts as a candidate of its own, and further ones do not: the
    more there are, the less likely it is that all are needed.
    """
    rest = [each for each in route if each.rank < DOUBTFUL or step.rank >= DOUBTFUL]
    replicas = {step.model: len(step.endpoints)}
    for each in rest:
        replicas[each.model] = replicas.get(each.model, 0) + len(each.endpoints)
    return sum(min(count, 2) for count in replicas.values()) + (DOUBT_PART if len(rest) < len(route) else 0)


def why_not_first(plan: Plan, primary: str) -> str:
    """Return in one word why a plan does not begin with the task's primary: what it lacks, or its state."""
    skipped = next((skip.code for skip in plan.skipped if skip.model == primary), None)
    state = next((step.state for step in plan.steps if step.model == primary), "unknown")
    return skipped or ("overloaded" if state in WELL else state)


def again(record: CallRecord, step: Step, failure: AttemptError) -> tuple[list[Step], list[Step]]:
    """Return what to try right after a failure, before other models, and what to add at the very end."""
    if _asks_again(record, failure):
        return [step], []
    record.begin_anew()
    if isinstance(failure, OutputInvalidError) and record.prepared is not None:
        return [], []
    if isinstance(failure, QuarantinedError):
        return [], [] if failure.proven else [step]
    last = record.attempts[-1].endpoint
    rest = step.endpoints.without({last})
    tries = sum(attempt.model == step.model and attempt.outcome not in NOT_SENT for attempt in record.attempts)
    helps = failure.blames != "nobody" or failure.outcome in {"overloaded", "stood_back"}
    first = [replace(step, endpoints=rest)] if rest and helps and tries < REPLICA_TRIES else []
    if not isinstance(failure, StoodBackError):
        return first, []
    gone = step.endpoints.only({last})
    return first, [replace(step, endpoints=gone, rank=step.rank + 1)]


def _asks_again(record: CallRecord, failure: AttemptError) -> bool:
    """Note how the same model is to be asked again, when that may mend what was wrong; tell whether it may."""
    if record.prepared is None:
        return False
    if isinstance(failure, QuarantinedError):
        return False
    if isinstance(failure, UnsupportedConstraintError) and record.prepared.kind == "json_schema" and not record.plain:
        record.plain = True
        return True
    if not isinstance(failure, OutputInvalidError) or record.repairs >= REPAIRS:
        return False
    record.repairs += 1
    record.short = failure.reason != "violation"  # what has a wrong part, not no end, keeps its room
    if failure.reason == "truncated":
        record.max_output_tokens *= 2
    return True


def verdict(record: CallRecord, *, out_of_time: bool) -> RouterError:
    """Return the error that ends a call which no candidate served."""
    failures = [error for _, error in record.failures]
    if not failures and not out_of_time:
        return _nothing_fits(record.plan)
    if failures and all(isinstance(error, _ASKED_WRONGLY) for error in failures):
        return max(reversed(failures), key=lambda error: isinstance(error, OutputInvalidError))
    if failures and isinstance(failures[-1], OutputInvalidError) and not out_of_time:
        return failures[-1]
    if busy := [error for error in failures if error.outcome in _BUSY]:
        return _busy(record, busy, len(busy) == len(failures))
    if out_of_time or all(error.code == "deadline" for error in failures):
        return _deadline(record)
    causes = " ".join(dict.fromkeys(f"{model}: {error}" for model, error in record.failures))
    return NoRuntimeError(f"No runtime could serve task {record.task!r}. {causes}{_no_other(record)}")


def _no_other(record: CallRecord) -> str:
    """Say why nothing else was tried, when nothing else could be."""
    if record.request.model is not None:
        return " The call pinned this model: without it, the task's other models may serve."
    return " No other model is configured for it." if len(record.policy.tasks[record.task].models) == 1 else ""


def _nothing_fits(plan: Plan) -> RouterError:
    why = "; ".join(skip.reason for skip in plan.skipped)
    if any(skip.code == "context_too_long" for skip in plan.skipped):
        return ContextTooLongError(f"The prompt is too long for task {plan.task!r}: {why}. Shorten or split it.")
    if any(skip.code == "rejected" for skip in plan.skipped):
        return RejectedError(f"No model of task {plan.task!r} is for this caller: {why}. Use a task with one that is.")
    remedy = "Use json_schema, choices or regex, or a task with a model that can."
    return UnsupportedConstraintError(f"No model of task {plan.task!r} can enforce this: {why}. {remedy}")


def _busy(record: CallRecord, busy: list[AttemptError], all_busy: bool) -> BusyError:
    after = min((error.retry_after_s for error in busy if error.retry_after_s is not None), default=1.0)
    rest = "" if all_busy else " The other models of the task failed."
    message = f"Every runtime for task {record.task!r} that is up is busy.{rest} Call again in {after:g} s."
    return BusyError(message, retry_after_s=after)


def _deadline(record: CallRecord) -> DeadlineError:
    seconds = record.budget.deadline - record.budget.started
    tried = ", ".join(dict.fromkeys(model for model, _ in record.failures)) or "a free slot"
    return DeadlineError(
        f"No answer within the deadline of {seconds:g} s (waited for {tried}). "
        "Ask for less (a shorter prompt or max_output_tokens), or use a task with a longer timeout."
    )
