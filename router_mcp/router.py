"""The life of a request: plan → admit → attempt → record → answer.

`Router.generate` serves plain and structured calls alike, and `_serve` is the only fallback loop. The router
starts no tasks: whoever hosts it runs `router_mcp.prober.Prober.run` beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import anyio

from router_mcp import affinity, typed
from router_mcp.admission import AdmissionBook, limits_of
from router_mcp.board import HealthBoard
from router_mcp.budget import make_budget
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Endpoint, GenerateRequest, GenerateResult, Receipt
from router_mcp.errors import AttemptError, OutputInvalidError, QueueFullError, RouterError, StoodBackError
from router_mcp.exchange import Exchange
from router_mcp.fleet import Fleet
from router_mcp.orders import OrderBook
from router_mcp.policy import Plan, Step, facts_of, make_plan, output_limit, task_of, temperature_of
from router_mcp.proofs import Proofs
from router_mcp.pulse import Pulse
from router_mcp.ranking import Ranking
from router_mcp.ranks import rank_of
from router_mcp.record import CallRecord, refused_receipt
from router_mcp.stream import Attention
from router_mcp.telemetry.base import Answered, Cancelled, FellBack, Queued, Refused, Reloaded, Repaired, Telemetry
from router_mcp.verdict import again, shares, verdict, why_not_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a router is given besides its parts."""

    clock: Callable[[], float]
    new_id: Callable[[], str]
    fleet_of: Callable[[PolicyFile], Fleet]
    """Makes or keeps the adapters that a policy needs."""
    tidy: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    """Closes those that no call can use any more."""
    orders: OrderBook = field(default_factory=OrderBook)
    """What operators ordered: tenants' epochs and canaries."""


class Router:
    """Routes calls to models by policy. Make one with `router_mcp.wiring.open_router`."""

    def __init__(
        self, policy: PolicyFile, board: HealthBoard, book: AdmissionBook, telemetry: Telemetry, settings: Settings
    ) -> None:
        self.board = board
        self.book = book
        self.telemetry = telemetry
        self._settings = settings
        self._now = settings.clock
        self.tidy = settings.tidy
        self.orders = settings.orders
        self.pulse = Pulse(settings.clock)
        self.proofs = Proofs()
        self._exchange = Exchange(board, self.pulse, telemetry, settings.clock, self.orders.salt)
        self._take(policy)

    def _take(self, policy: PolicyFile) -> None:
        self.fleet = self._settings.fleet_of(policy)
        self.board.rules = policy.health
        self._ranking = Ranking(self.board)
        self.board.keep(self.fleet.endpoints())
        self.pulse.keep(self.fleet.endpoints())
        self.proofs.keep(self.fleet.endpoints())
        self.book.configure(limits_of(policy))

    def adopt(self, policy: PolicyFile) -> None:
        """Put a policy in force for new calls; running ones end under the one they began with."""
        self._take(policy)
        self.telemetry.tell(Reloaded(outcome="ok"))

    async def generate(self, request: GenerateRequest, attention: Attention | None = None) -> GenerateResult:
        """Answer a request, or raise a `RouterError` whose `receipt` tells how far it got.

        A request with a constraint gets `data` that satisfies it, or an error. `attention`, when given,
        can be read meanwhile to tell the caller where the call is.
        """
        request_id = self._settings.new_id()
        try:
            record = self._admit(request, request_id, attention or Attention())
        except RouterError as error:
            self._tell_refused(request, error, refused_receipt(self.fleet.policy, request, request_id))
            raise
        try:
            result = await self._serve(record)
        except RouterError as error:
            self._tell_refused(request, error, record.receipt(self._now()))
            raise
        except anyio.get_cancelled_exc_class():
            self.telemetry.tell(Cancelled(request=request, receipt=record.receipt(self._now())))
            raise
        self.telemetry.tell(Answered(request=request, result=result))
        return result

    structured = typed.structured
    """`await router.structured(MyModel, prompt, task=…)`: the same for a pydantic model or any type of the caller's."""

    def explain(self, request: GenerateRequest, input_tokens: int | None = None) -> Plan:
        """Return what would be tried for a request now, without trying it."""
        return self._plan(request, task_of(self.fleet.policy, request.task), input_tokens)

    def _plan(self, request: GenerateRequest, task: str, input_tokens: int | None = None) -> Plan:
        """Put the candidates of a call in order."""
        now, fleet, policy = self._now(), self.fleet, self.fleet.policy

        def steps(model: str, role: str, canary: bool) -> tuple[Step, ...]:
            replicas = fleet.endpoints_of(policy.models[model].runtime)
            return self._ranking.steps(replicas, model, role, canary=canary, now=now)

        return make_plan(
            policy,
            facts_of(request, task, input_tokens),
            lambda runtime: fleet.runtimes[runtime].capabilities,
            steps,
            self.orders.rollouts(policy),
        )

    def _admit(self, request: GenerateRequest, request_id: str, attention: Attention) -> CallRecord:
        """Settle everything that the policy decides before anything is sent."""
        policy = self.fleet.policy
        task = task_of(policy, request.task)
        temperature, note = temperature_of(policy, task, request.temperature)
        return CallRecord(
            fleet=self.fleet,
            request=request,
            request_id=request_id,
            task=task,
            prepared=self._exchange.prepare(request.constraint),
            plan=self._plan(request, task),
            budget=make_budget(
                now=self._now(),
                policy_s=policy.deadline(task),
                asked_s=request.timeout_s,
                inter_token_s=policy.timeouts.silence(policy.deadline(task)),
            ),
            temperature=temperature,
            max_output_tokens=output_limit(policy, task, request.max_output_tokens),
            attention=attention,
            notes=[note] if note else [],
        )

    async def _serve(self, record: CallRecord) -> GenerateResult:
        """Try the plan's steps in order until one serves. The only fallback loop."""
        route = deque(record.plan.steps)
        self._tell_first(record)
        while route and record.budget.remaining(self._now()) > 0:
            step = route.popleft()
            try:
                return await self._attempt(record, step, shares(step, route))
            except AttemptError as failure:
                if not (failure.try_next or step.canary):
                    raise
                first, last = again(record, step, failure)
                route.extendleft(reversed(first))
                route.extend(last)
                self._tell_next(record, step, failure, route)
        out_of_time = record.budget.remaining(self._now()) <= 0
        if out_of_time and (cut_off := record.cut_off(self._now())):
            return cut_off
        raise verdict(record, out_of_time=out_of_time)

    async def _attempt(self, record: CallRecord, step: Step, share: float) -> GenerateResult:
        """Ask one replica of one model; the record knows how it went, and so does the health board."""
        begun = self._now()
        endpoint: Endpoint | None = None
        try:
            endpoint = await self._acquire(record, step, share)
            with self.book.held(endpoint):
                begun = self._now()
                if rank_of(self.board.standing(endpoint, step.model, begun)) > step.rank:
                    raise StoodBackError(f"{endpoint} became unwell while the call waited for it.")
                completion, data = await self._exchange.run(record, step, endpoint, share)
        except AttemptError as error:
            record.tried(step, endpoint, self._now() - begun, error)
            if endpoint is not None:
                self.board.failed(endpoint, step.model, error, self._now())
            raise
        record.tried(step, endpoint, self._now() - begun)
        return record.result(step, completion, self._now(), data=data)

    async def _acquire(self, record: CallRecord, step: Step, share: float) -> Endpoint:
        """Take a slot on one of the step's replicas, or wait for one, for no longer than the attempt's share."""
        started, waited = self._now(), 0.0
        try:
            order = self._order(record, step)
            first = next(order)
            asked_s = self.board.standing(first, step.model, started).waiting_s
            full = self.book.is_full(step.runtime, step.endpoints)
            if not (asked_s or full) and (endpoint := self.book.take(step.runtime, chain((first,), order))):
                return endpoint
            record.attention.phase = f"waiting for {step.model}"
            with anyio.CancelScope(deadline=record.budget.first_token_by(started, share)):
                if asked_s:
                    await anyio.sleep(asked_s)
                    if endpoint := self.book.take(step.runtime, self._order(record, step)):
                        return endpoint
                return await self.book.wait(step.runtime, step.endpoints, record.request.tenant, record.attention.waits)
        finally:
            waited = self._now() - started
            record.queue_wait_s += waited
            self.telemetry.tell(Queued(runtime=step.runtime, model=step.model, seconds=waited))
        message = f"{step.runtime} had no free slot within {waited:.1f} s."
        raise QueueFullError(message, retry_after_s=self.book.retry_after_s(step.runtime))

    def _order(self, record: CallRecord, step: Step) -> Iterator[Endpoint]:
        """Yield a step's replicas in the order in which this call prefers them now."""
        if len(step.endpoints) == 1:
            return iter(step.endpoints)
        request, ring = record.request, record.fleet.ring(step.runtime)
        key = affinity.prefix_key(request.tenant, request.system, request.prompt, request.history)
        return affinity.order(ring, step.endpoints, key, self.book.running, self.book.total(step.runtime))

    def _tell_refused(self, request: GenerateRequest, error: RouterError, receipt: Receipt) -> None:
        """Give an error its receipt, and let those who watch know of it."""
        error.receipt = receipt
        self.telemetry.tell(Refused(request=request, error=error, receipt=receipt))

    def _tell_first(self, record: CallRecord) -> None:
        """Let those who watch know when a call begins with a fallback, because its primary is down or does not fit."""
        if record.request.model is not None:
            return
        primary = record.policy.tasks[record.task].models[0]
        first = next((step.model for step in record.plan.steps if not step.canary), primary)
        if first != primary:
            reason = why_not_first(record.plan, primary)
            self.telemetry.tell(FellBack(task=record.task, model=primary, to=first, reason=reason))

    def _tell_next(self, record: CallRecord, step: Step, failure: AttemptError, route: Sequence[Step]) -> None:
        """Let those who watch know where the call goes now."""
        if not route:
            return
        if record.attention.on_restart:
            record.attention.on_restart(f"{step.model}: {failure}")
        if route[0].model != step.model:
            reason = failure.outcome
            self.telemetry.tell(FellBack(task=record.task, model=step.model, to=route[0].model, reason=reason))
        elif isinstance(failure, OutputInvalidError):
            self.telemetry.tell(Repaired(model=step.model, reason=failure.reason))
