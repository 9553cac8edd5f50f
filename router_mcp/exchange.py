"""One exchange with one model: the request rendered, the answer listened to and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from router_mcp import structured
from router_mcp.board import HealthBoard
from router_mcp.domain import Call, Completion, Constraint, Endpoint, RuntimeKind, State
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    OutputInvalidError,
    ServerFailedError,
    StalledError,
    UnreachableError,
)
from router_mcp.health import WELL
from router_mcp.policy import Step
from router_mcp.pulse import Pulse
from router_mcp.record import CallRecord
from router_mcp.render import SaltOf, render
from router_mcp.stream import Stream
from router_mcp.structured.quarantine import Quarantine
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, FirstToken, Telemetry

_FALLS = (StalledError, ServerFailedError, BrokenStreamError, UnreachableError)
"""What an engine does that dies of a constraint, or is lost in it."""


class Exchange:
    """Talks to models for the router; a served call is told to the health board here, a failed one by the router."""

    def __init__(
        self, board: HealthBoard, pulse: Pulse, telemetry: Telemetry, clock: Callable[[], float], salt_of: SaltOf
    ) -> None:
        self._board = board
        self._pulse = pulse
        self._telemetry = telemetry
        self._now = clock
        self._salt_of = salt_of
        self._quarantine = Quarantine()

    @cached_property
    def _preparer(self) -> structured.Preparer:
        return structured.Preparer()  # not before the first constraint, whose engines take 0.1 s to import

    def prepare(self, constraint: Constraint | None) -> structured.Prepared | None:
        """Do the preflight of a call's constraint; raise `SchemaInvalidError` for one that cannot be asked for."""
        return self._preparer.prepare(constraint) if constraint else None

    async def run(self, record: CallRecord, step: Step, endpoint: Endpoint, share: float) -> tuple[Completion, Any]:
        """Make one call and judge its answer; return both."""
        kind = record.policy.runtimes[step.runtime].kind
        self._refuse_suspect(record, step)
        compiled = self._compiled(record, kind)
        begun = self._now()
        call = render(record, step, endpoint, compiled, self._salt_of)
        attempt = len(record.attempts) + 1
        started = AttemptStarted(call=call, model=step.model, kind=kind, task=record.task, attempt=attempt)
        if traceparent := self._telemetry.started(started):
            call = replace(call, traceparent=traceparent)
        was = self._board.standing(endpoint, step.model, begun).state
        trials = self._board.begin(endpoint, step.model, begun)
        completion: Completion | None = None
        error: AttemptError | None = None
        try:
            completion = await self._listen(record, step, started, call, share)
            self._board.succeeded(endpoint, step.model, self._now(), begun=begun)
            if record.prepared:
                self._quarantine.answered(step.runtime, record.prepared.key)
            return completion, self._judge(record, compiled, completion)
        except AttemptError as failure:
            error = failure
            self._learn(record, step, failure, completion.text if completion else "", was, begun)
            raise
        finally:
            self._board.settle(trials)
            seconds = self._now() - begun
            self._telemetry.tell(AttemptEnded(started=started, seconds=seconds, completion=completion, error=error))

    def _refuse_suspect(self, record: CallRecord, step: Step) -> None:
        """Raise `QuarantinedError` when the engine has fallen over this constraint before, once or for sure."""
        if record.prepared:
            again = any(attempt.runtime == step.runtime for attempt in record.attempts)
            self._quarantine.refuse(step.runtime, record.prepared.key, self._now(), insists=again)

    def _learn(
        self, record: CallRecord, step: Step, failure: AttemptError, said: str, was: State, begun: float
    ) -> None:
        """Prepare the repair of a wrong answer; suspect the constraint when a well engine failed with it."""
        if record.prepared is None:
            return
        if isinstance(failure, OutputInvalidError):
            record.repair = structured.repair_messages(record.prepared, said, failure)
            if said:
                record.chars_per_s = len(said) / max(self._now() - begun, 0.001)
        # An endpoint that nobody has heard of yet may never have been there, so being out of reach proves nothing.
        elif isinstance(failure, _FALLS) and was in (WELL if failure.outcome != "unreachable" else {"healthy"}):
            died = not isinstance(failure, StalledError)
            self._quarantine.failed(step.runtime, record.prepared.key, self._now(), begun=begun, died=died)

    async def _listen(
        self, record: CallRecord, step: Step, started: AttemptStarted, call: Call, share: float
    ) -> Completion:
        """Run the call while its stream keeps its time limits."""
        begun = self._now()
        record.attention.phase = f"{step.model} is reading"
        with self._pulse.listening(
            call.endpoint,
            call.model,
            prompt_chars=sum(len(message.content) for message in call.messages),
            silence_s=record.budget.silence_s,
        ) as listening:
            stream = Stream(
                clock=self._now,
                budget=record.budget,
                limit=record.budget.first_token_by(begun, share),
                attention=record.attention,
                listening=listening,
                degenerate=structured.Degeneration().feed if record.prepared else None,
            )
            completion: Completion | None = None
            try:
                with stream.scope:
                    completion = await record.fleet.runtimes[step.runtime].generate(call, stream)
            finally:
                if completion is None:
                    record.keep_partial(step, stream.partial, stream.tokens)
                if stream.first_token_at is not None:
                    record.first_token_s = round(stream.first_token_at - record.budget.started, 4)
                    self._telemetry.tell(FirstToken(started=started, seconds=stream.first_token_at - begun))
        if completion is None:
            raise stream.overdue(call.endpoint, record.policy.deadline(record.task) / share)
        return completion

    def _compiled(self, record: CallRecord, kind: RuntimeKind) -> structured.Compiled | None:
        """Return the constraint as this kind of runtime takes it, in the form that earlier attempts call for."""
        if record.prepared is None:
            return None
        in_time = record.chars_per_s * record.budget.remaining(self._now())
        room = structured.room_of(kind, record.max_output_tokens, short=record.short, in_time=in_time)
        return structured.compile_for(kind, record.prepared, plain=record.plain, room=room)

    @staticmethod
    def _judge(record: CallRecord, compiled: structured.Compiled | None, completion: Completion) -> Any:
        """Return the data of a structured answer, or raise what is wrong with it."""
        if record.prepared is None or compiled is None:
            if not completion.text:
                raise OutputInvalidError("The model ended its answer without a word. Word the prompt otherwise.")
            return None
        return structured.check(record.prepared, compiled, completion.text, completion.finish_reason)
