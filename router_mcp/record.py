"""One call while it runs: what was asked, what was tried, and the receipt that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from router_mcp import tokens
from router_mcp.budget import Budget
from router_mcp.config.canaries import SUFFIX
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import (
    Attempt,
    Completion,
    Endpoint,
    FinishReason,
    GenerateRequest,
    GenerateResult,
    Message,
    Receipt,
    Usage,
)
from router_mcp.errors import AttemptError
from router_mcp.fleet import Fleet
from router_mcp.policy import Plan, Step
from router_mcp.stream import Attention

if TYPE_CHECKING:
    from router_mcp.structured import Prepared

NOT_SENT = frozenset({"queue_full", "stood_back", "quarantined"})
"""Outcomes of attempts that never reached a runtime."""
CUT_OFF = "The deadline cut the answer before its runtime counted tokens: usage is a lower bound."


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """Owned by one call; nobody else sees it before the call ends."""

    fleet: Fleet
    request: GenerateRequest
    request_id: str
    task: str
    plan: Plan
    budget: Budget
    temperature: float
    max_output_tokens: int
    attention: Attention
    prepared: Prepared | None = None
    notes: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[tuple[str, AttemptError]] = field(default_factory=list)
    queue_wait_s: float = 0.0
    first_token_s: float | None = None
    partial: tuple[Step, Completion] | None = None
    """The longest text that an attempt had said when it failed, and whose."""
    repair: tuple[Message, ...] = ()
    """Turns that show a model what was wrong with its last answer."""
    repairs: int = 0
    """Repairs asked of the present model."""
    short: bool = False
    """Whether its last answer had no good end, so that the next is bounded."""
    chars_per_s: float = inf
    """How fast its last answer came, the reading of the prompt included."""
    plain: bool = False
    """Whether its runtime refused the constraint as it was spelled first."""

    @property
    def policy(self) -> PolicyFile:
        """The policy that was in force when the call began."""
        return self.fleet.policy

    def tried(self, step: Step, endpoint: Endpoint | None, seconds: float, error: AttemptError | None = None) -> None:
        """Note one attempt, served or failed."""
        self.attempts.append(
            Attempt(
                model=step.model,
                runtime=step.runtime,
                endpoint=endpoint.url if endpoint else "",
                outcome=error.outcome if error else "ok",
                seconds=round(seconds, 4),
                detail=str(error) if error else None,
            )
        )
        if error:
            self.failures.append((step.model, error))

    def keep_partial(self, step: Step, text: str, heard: int) -> None:
        """Remember what an attempt said before it failed, if it said more than any before."""
        if text and (self.partial is None or len(text) > len(self.partial[1].text)):
            said = Completion(text=text, finish_reason="length", usage=Usage(output_tokens=heard))
            self.partial = (step, said)

    def cut_off(self, now: float) -> GenerateResult | None:
        """Return the most that was said when the deadline struck; `None` if nothing was, or only part of some data.

        Runtimes count tokens at the end of an answer, so its usage is what it certainly was at the least.
        """
        if self.partial is None or self.prepared is not None:
            return None
        step, said = self.partial
        asked = (self.request.prompt, self.request.system or "", *(turn.content for turn in self.request.history))
        answered = max(said.usage.output_tokens, tokens.least(said.text))
        usage = Usage(input_tokens=tokens.least(*asked), output_tokens=answered)
        self.notes.append(CUT_OFF)
        return self.result(step, replace(said, usage=usage), now, finish="deadline")

    def begin_anew(self) -> None:
        """Forget what the last model got wrong: it is no matter of the next."""
        self.repairs, self.repair = 0, ()
        self.short = self.plain = False
        self.chars_per_s = inf

    def asked(self) -> int:
        """Return how many times a model was asked."""
        return sum(attempt.outcome not in NOT_SENT for attempt in self.attempts)

    def passed_over(self, model: str) -> tuple[str, ...]:
        """Return the models that were tried or skipped before this one served."""
        if self.request.model is not None:
            return ()
        before = self.policy.tasks[self.task].models
        canaries = {step.model for step in self.plan.steps if step.canary}
        tried = [attempt.model for attempt in self.attempts] + [skip.model for skip in self.plan.skipped]
        # A canary stands before the model that it may replace, and never before another.
        planned = dict.fromkeys([*(name for name in tried if name in canaries), *before])
        ahead = before[: before.index(model.removesuffix(SUFFIX) if model in canaries else model)]
        return tuple(name for name in planned if name != model and (name in tried or name in ahead))

    def receipt(self, now: float) -> Receipt:
        """Return how the call came about so far."""
        return Receipt(
            request_id=self.request_id,
            task=self.task,
            attempts=tuple(self.attempts),
            deadline_s=round(self.budget.deadline - self.budget.started, 4),
            seconds=round(now - self.budget.started, 4),
            queue_wait_s=round(self.queue_wait_s, 4),
            time_to_first_token_s=self.first_token_s,
            trace_id=_trace_id(self.request),
            notes=(*self.notes, *(f"{skip.model} was not tried: {skip.reason}." for skip in self.plan.skipped)),
        )

    def result(
        self, step: Step, completion: Completion, now: float, *, finish: FinishReason | None = None, data: object = None
    ) -> GenerateResult:
        """Return the answer of the step that served."""
        return GenerateResult(
            text=completion.text,
            task=self.task,
            model=step.model,
            runtime=step.runtime,
            finish_reason=finish or completion.finish_reason,
            usage=completion.usage,
            temperature=self.temperature,
            receipt=self.receipt(now),
            fallback_from=self.passed_over(step.model),
            data=data,
            attempts=self.asked(),
        )


def refused_receipt(policy: PolicyFile, request: GenerateRequest, request_id: str) -> Receipt:
    """Return the receipt of a call that was refused before it began; a task that the policy lacks is not repeated."""
    task = policy.defaults.task if request.task is None else request.task
    known = task if task in policy.tasks else ""
    return Receipt(request_id=request_id, task=known, deadline_s=0.0, trace_id=_trace_id(request))


def _trace_id(request: GenerateRequest) -> str | None:
    parts = (request.traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
