"""Retried calls join: one `idempotency_key`, one run.

A caller that gave up waiting asks again with the same key and arguments, and gets the running or finished call
instead of a second one on the same GPU. So a call with a key goes on without its caller, until its own deadline.
What is kept is bounded, for a time, and apart for every owner. Failures are not kept: a retry then runs anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

import anyio

from router_mcp.domain import GenerateRequest, GenerateResult
from router_mcp.errors import InvalidArgumentsError, NoRuntimeError
from router_mcp.stream import Attention

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

Generate: TypeAlias = Callable[[GenerateRequest, Attention], Awaitable[GenerateResult]]
"""The router's own `generate`."""
Place: TypeAlias = tuple[str | None, str | None, str]
"""Principal, tenant and key of a run: keys of different owners never meet."""

KEPT_S = 600.0
"""How long an answer can be asked for again."""
MOST = 512
MOST_OF_ONE = 64
JOINED = "joined the call that had this idempotency_key first"


@dataclass(slots=True)
class Run:
    """One run, which any number of calls wait for; `attention` tells them all where it is."""

    digest: bytes
    attention: Attention = field(default_factory=Attention)
    result: GenerateResult | None = None
    error: Exception | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)
    ended_at: float | None = None

    async def outcome(self) -> GenerateResult:
        """Wait for the end; return what the run returned, or raise what it raised."""
        await self.ended.wait()
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise NoRuntimeError("The server stopped before the call ended. Make the call again.")
        return self.result


@dataclass(frozen=True, slots=True)
class Joined:
    """One caller's share in a run."""

    run: Run
    first: bool

    async def outcome(self) -> GenerateResult:
        """Return the run's result, with a note in the receipt of whoever joined; or raise its error."""
        result = await self.run.outcome()
        if self.first:
            return result
        return replace(result, receipt=replace(result.receipt, notes=(*result.receipt.notes, JOINED)))


class JoinedCalls:
    """The runs of one server that have a key. They live in `group`, and end with it."""

    def __init__(self, generate: Generate, group: TaskGroup, clock: Callable[[], float]) -> None:
        self._generate = generate
        self._group = group
        self._clock = clock
        self._runs: dict[Place, Run] = {}

    def join(self, principal: str | None, key: str, request: GenerateRequest) -> Joined:
        """Return a share in the run of this key, which begins when there is none.

        Raises `InvalidArgumentsError` when the key stands for a call with other arguments.
        """
        self._forget_old()
        place, digest = (principal, request.tenant, key), _digest(request)
        run = self._runs.get(place)
        if run is not None and run.digest != digest:
            raise InvalidArgumentsError(
                "idempotency_key: a call with other arguments had this key in the last minutes. "
                "Send the same arguments to get its answer, or use a new key."
            )
        if run is not None:
            return Joined(run, first=False)
        self._make_room(place)
        run = self._runs[place] = Run(digest)
        self._group.start_soon(self._work, place, run, request)
        return Joined(run, first=True)

    async def _work(self, place: Place, run: Run, request: GenerateRequest) -> None:
        try:
            run.result = await self._generate(request, run.attention)
        except Exception as error:  # noqa: BLE001 - whoever waits for the run gets it
            run.error = error
        finally:
            run.ended_at = self._clock()
            run.ended.set()
            if run.result is None:
                del self._runs[place]

    def _forget_old(self) -> None:
        now = self._clock()
        old = [place for place, run in self._runs.items() if run.ended_at is not None and run.ended_at + KEPT_S <= now]
        for place in old:
            del self._runs[place]

    def _make_room(self, place: Place) -> None:
        """Forget the oldest finished runs. Those that go on stay: what admission lets in bounds them."""
        mine = [other for other in self._runs if other[:2] == place[:2]]
        self._drop_finished(mine, len(mine) - MOST_OF_ONE + 1)
        self._drop_finished(list(self._runs), len(self._runs) - MOST + 1)

    def _drop_finished(self, places: list[Place], excess: int) -> None:
        finished = [place for place in places if self._runs[place].ended.is_set()]
        for place in finished[: max(0, excess)]:
            del self._runs[place]


def _digest(request: GenerateRequest) -> bytes:
    """Return what tells one request from another, whoever traces it; far smaller than a prompt that is kept."""
    return sha256(repr(replace(request, traceparent=None)).encode("utf-8", "surrogatepass")).digest()
