"""One exchange with one model: the request rendered, the answer listened to and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from router_mcp import structured
from router_mcp.board import HealthBoard
from router_mcp.domain import Completion, Endpoint
from router_mcp.errors import AttemptError, OutputInvalidError
from router_mcp.policy import Step
from router_mcp.pulse import Pulse
from router_mcp.record import CallRecord
from router_mcp.render import SaltOf, render
from router_mcp.stream import Stream
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, FirstToken, Telemetry


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

    async def run(self, record: CallRecord, step: Step, endpoint: Endpoint, share: float) -> tuple[Completion, Any]:
        """Make one call and judge its answer; return both."""
        kind = record.policy.runtimes[step.runtime].kind
        compiled = structured.compile_for(kind, record.prepared) if record.prepared else None
        begun = self._now()
        call = render(record, step, endpoint, compiled, self._salt_of)
        attempt = len(record.attempts) + 1
        started = AttemptStarted(call=call, model=step.model, kind=kind, task=record.task, attempt=attempt)
        if traceparent := self._telemetry.started(started):
            started = replace(started, call=replace(call, traceparent=traceparent))
        trials = self._board.begin(endpoint, step.model, begun)
        completion: Completion | None = None
        error: AttemptError | None = None
        try:
            completion = await self._listen(record, step, started, share)
            self._board.succeeded(endpoint, step.model, self._now(), begun=begun)
            return completion, self._judge(record, compiled, completion)
        except AttemptError as failure:
            error = failure
            raise
        finally:
            self._board.settle(trials)
            seconds = self._now() - begun
            self._telemetry.tell(AttemptEnded(started=started, seconds=seconds, completion=completion, error=error))

    async def _listen(self, record: CallRecord, step: Step, started: AttemptStarted, share: float) -> Completion:
        """Run the call while its stream keeps its time limits."""
        call, begun = started.call, self._now()
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

    @staticmethod
    def _judge(record: CallRecord, compiled: structured.Compiled | None, completion: Completion) -> Any:
        """Return the data of a structured answer, or raise what is wrong with it and prepare its repair."""
        if record.prepared is None or compiled is None:
            if not completion.text:
                raise OutputInvalidError("The model ended its answer without a word. Word the prompt otherwise.")
            return None
        try:
            return structured.check(record.prepared, compiled, completion.text, completion.finish_reason)
        except OutputInvalidError as error:
            record.repair = structured.repair_messages(record.prepared, completion.text, error)
            raise
