"""Who may call now, who waits, in which order, and that no slot is ever lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given, settings
from hypothesis import strategies as st

from router_mcp.admission import MAX_RETRY_AFTER_S, AdmissionBook, Limit, limits_of
from router_mcp.domain import Endpoint
from router_mcp.errors import QueueFullError
from router_mcp.line import Waiter
from router_mcp.replicas import Replicas
from tests.clock import JumpingLoop
from tests.policies import changed, load

pytestmark = pytest.mark.anyio

A = Endpoint(runtime="gpu", url="http://a")
B = Endpoint(runtime="gpu", url="http://b")
C = Endpoint(runtime="laptop", url="http://c")


def make_book(concurrency: int = 1, queue: int = 10, replicas: int = 1) -> AdmissionBook:
    book = AdmissionBook(anyio.current_time)
    limit = Limit(concurrency=concurrency, queue=queue, replicas=replicas)
    book.configure({"gpu": limit, "laptop": limit})
    return book


@dataclass(eq=False)
class Caller:
    """A call that holds its slot until it is let go."""

    name: str
    tenant: str | None
    endpoints: Sequence[Endpoint]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    waiter: Waiter | None = None
    slot: Endpoint | None = None
    refused: QueueFullError | None = None

    def waits(self, waiter: Waiter | None) -> None:
        self.waiter = waiter


@dataclass
class Crowd:
    """Callers at one book; `served` is the order in which they got their slots."""

    book: AdmissionBook
    tasks: TaskGroup
    served: list[str] = field(default_factory=list)
    callers: dict[str, Caller] = field(default_factory=dict)

    def come(self, name: str, tenant: str | None = None, endpoints: Sequence[Endpoint] = (A,)) -> Caller:
        caller = self.callers[name] = Caller(name, tenant, endpoints)
        self.tasks.start_soon(self._call, caller)
        return caller

    async def _call(self, caller: Caller) -> None:
        runtime = caller.endpoints[0].runtime
        with caller.scope:
            try:
                slot = await self.book.acquire(runtime, caller.endpoints, caller.tenant, caller.waits)
            except QueueFullError as refusal:
                caller.refused = refusal
                return
            with self.book.held(slot):
                caller.slot = slot
                self.served.append(caller.name)
                try:
                    await caller.done.wait()
                finally:
                    caller.slot = None

    async def settle(self) -> None:
        await anyio.wait_all_tasks_blocked()

    async def serve_all(self) -> list[str]:
        """Let every caller that runs go, until nobody waits; return who was served, in order."""
        while any(caller.slot for caller in self.callers.values()):
            for caller in self.callers.values():
                if caller.slot:
                    caller.done.set()
                    await self.settle()
                    break
        return self.served


@asynccontextmanager
async def crowd(book: AdmissionBook | None = None) -> AsyncGenerator[Crowd]:
    async with anyio.create_task_group() as tasks:
        yield Crowd(book or make_book(), tasks)
        tasks.cancel_scope.cancel()


async def test_a_free_slot_is_taken_at_once_and_given_back() -> None:
    book = make_book()
    slot = await book.acquire("gpu", [A, B])
    assert slot == A
    with book.held(slot):
        assert (book.running(A), book.in_flight()) == (1, {A: 1})
    assert (book.running(A), book.in_flight()) == (0, {})


async def test_a_slot_is_given_back_however_the_call_ends() -> None:
    book = make_book()

    async def call() -> None:
        with book.held(await book.acquire("gpu", [A])):
            raise LookupError

    with pytest.raises(LookupError):
        await call()
    assert book.in_flight() == {}


async def test_the_first_endpoint_that_has_room_is_taken() -> None:
    async with crowd(make_book(concurrency=2)) as there:
        for name in "abcde":
            there.come(name, endpoints=(A, B))
            await there.settle()
        assert (there.book.running(A), there.book.running(B)) == (2, 2)
        assert there.book.queued("gpu") == 1


async def test_a_runtimes_queue_is_its_own() -> None:
    async with crowd() as there:
        there.come("runs")
        there.come("waits")
        there.come("elsewhere", endpoints=(C,))
        await there.settle()
        assert there.served == ["runs", "elsewhere"]
        assert (there.book.queued("gpu"), there.book.queued("laptop"), there.book.queued("none")) == (1, 0, 0)


async def test_callers_of_one_tenant_are_served_in_the_order_they_came() -> None:
    async with crowd() as there:
        for name in "abcd":
            there.come(name, tenant="t")
            await there.settle()
        assert await there.serve_all() == list("abcd")


async def test_tenants_are_served_in_turn_however_many_callers_one_has() -> None:
    async with crowd() as there:
        there.come("first")
        await there.settle()
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            there.come(name, tenant=name[0])
            await there.settle()
        assert await there.serve_all() == ["first", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_tenant_that_comes_back_stands_behind_those_that_waited() -> None:
    async with crowd() as there:
        for name in ("a0", "a1", "b1"):
            there.come(name, tenant=name[0])
            await there.settle()
        there.callers["a0"].done.set()
        await there.settle()
        there.come("a2", tenant="a")
        await there.settle()
        assert await there.serve_all() == ["a0", "a1", "b1", "a2"]


async def test_a_caller_who_waits_takes_any_of_its_endpoints_and_no_other() -> None:
    async with crowd() as there:
        there.come("on a", endpoints=(A,))
        there.come("on b", endpoints=(B,))
        await there.settle()
        there.come("wants a", tenant="t", endpoints=(A,))
        await there.settle()
        there.come("wants any", tenant="u", endpoints=(A, B))
        await there.settle()
        there.callers["on b"].done.set()
        await there.settle()
        assert there.callers["wants any"].slot == B
        assert there.callers["wants a"].slot is None
        there.callers["wants any"].done.set()
        await there.settle()
        assert there.book.running(B) == 0
        there.callers["on a"].done.set()
        await there.settle()
        assert there.callers["wants a"].slot == A


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    async with crowd(make_book(queue=1)) as there:
        for name in ("runs", "waits", "is refused"):
            there.come(name)
            await there.settle()
        refusal = there.callers["is refused"].refused
        assert refusal is not None
        assert str(refusal) == "gpu runs as many calls as it may, and 1 wait. Call again in 2 s."
        assert refusal.retry_after_s == 2
        assert there.callers["waits"].waiter is not None


async def test_without_a_queue_nobody_waits() -> None:
    async with crowd(make_book(queue=0)) as there:
        there.come("runs")
        there.come("is refused")
        await there.settle()
        assert there.callers["is refused"].refused is not None


async def test_a_tenant_cannot_keep_others_out_by_filling_the_queue() -> None:
    async with crowd(make_book(queue=4)) as there:
        for name in ("a0", "a1", "a2", "a3", "a4"):
            there.come(name, tenant="a")
            await there.settle()
        for name in ("b1", "b2", "b3"):
            there.come(name, tenant="b")
            await there.settle()
        refused = [name for name, caller in there.callers.items() if caller.refused]
        assert refused == ["a3", "a4", "b3"]
        assert there.book.queued("gpu") == 4
        assert await there.serve_all() == ["a0", "a1", "b1", "a2", "b2"]


async def test_a_place_is_taken_from_a_tenant_only_while_it_has_clearly_more() -> None:
    async with crowd(make_book(queue=3)) as there:
        for name in ("a0", "a1", "a2", "a3", "b1", "b2"):
            there.come(name, tenant=name[0])
            await there.settle()
        assert [name for name, caller in there.callers.items() if caller.refused] == ["a3", "b2"]


async def test_a_caller_that_lost_its_place_in_the_moment_it_went_away_is_gone_once() -> None:
    async with crowd(make_book(queue=2)) as there:
        for name in ("a0", "a1", "a2"):
            there.come(name, tenant="a")
            await there.settle()
        there.callers["a2"].scope.cancel()
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await there.book.acquire("gpu", [A], "b")
        await there.settle()
        assert there.book.queued("gpu") == 1


async def test_a_caller_hears_its_place_in_the_queue() -> None:
    async with crowd() as there:
        for name in ("r0", "a1", "a2", "a3", "b1", "b2", "c1"):
            there.come(name, tenant=name[0])
            await there.settle()
        places = {name: place(there, name) for name in there.callers}
        assert places == {"r0": None, "a1": 1, "b1": 2, "c1": 3, "a2": 4, "b2": 5, "a3": 6}
        waiter = there.callers["a1"].waiter
        there.callers["r0"].done.set()
        await there.settle()
        assert waiter is not None
        assert there.book.position(waiter) is None
        assert there.callers["a1"].waiter is None
        assert place(there, "b1") == 1


def place(there: Crowd, name: str) -> int | None:
    waiter = there.callers[name].waiter
    return there.book.position(waiter) if waiter else None


@settings(max_examples=50)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_a_place_in_the_queue_is_the_number_of_callers_served_until_then(tenants: list[str]) -> None:
    async def scene() -> None:
        async with crowd(make_book(queue=20)) as there:
            there.come("first")
            await there.settle()
            for number, tenant in enumerate(tenants):
                there.come(f"{tenant}{number}", tenant=tenant)
                await there.settle()
            places = {name: place(there, name) or 0 for name in there.callers}
            assert await there.serve_all() == sorted(places, key=places.__getitem__)
            assert sorted(places.values()) == list(range(len(tenants) + 1))

    run(scene)


async def test_a_caller_that_goes_away_leaves_the_queue() -> None:
    async with crowd() as there:
        for name in "abc":
            there.come(name)
            await there.settle()
        gone = there.callers["b"].waiter
        there.callers["b"].scope.cancel()
        await there.settle()
        assert gone is not None
        assert there.book.position(gone) is None
        assert there.callers["b"].waiter is None
        assert there.book.queued("gpu") == 1
        assert await there.serve_all() == ["a", "c"]


async def test_a_slot_granted_to_a_caller_that_has_just_gone_away_is_handed_on() -> None:
    async with crowd() as there:
        with there.book.held(await there.book.acquire("gpu", [A])):
            for name in "bc":
                there.come(name)
                await there.settle()
            there.callers["b"].scope.cancel()  # in the same moment as the slot is given back
        await there.settle()
        assert there.served == ["c"]
        assert there.book.in_flight() == {A: 1}


async def test_a_slot_granted_in_the_moment_its_caller_went_away_is_handed_on() -> None:
    async with crowd() as there:
        for name in "abc":
            there.come(name)
            await there.settle()
        there.callers["a"].done.set()
        await anyio.lowlevel.checkpoint()  # a has ended, so b has the slot, but b has not run yet
        there.callers["b"].scope.cancel()
        await there.settle()
        assert there.callers["b"].slot is None
        assert there.callers["c"].slot == A
        assert there.book.in_flight() == {A: 1}


async def test_a_caller_cancelled_before_it_hears_of_its_slot_does_not_keep_it() -> None:
    async with crowd() as there:
        for name in "ab":
            there.come(name)
            await there.settle()
        there.callers["b"].scope.cancel()
        there.callers["a"].done.set()
        await there.settle()
        assert there.book.in_flight() == {}
        assert there.book.queued("gpu") == 0


async def test_who_cannot_be_told_that_it_waits_does_not_wait() -> None:
    book = make_book()

    def fails(waiter: Waiter | None) -> None:
        if waiter:
            raise LookupError

    with book.held(await book.acquire("gpu", [A])):
        with pytest.raises(LookupError):
            await book.acquire("gpu", [A], None, fails)
        assert book.queued("gpu") == 0


async def test_larger_limits_let_those_that_wait_in_at_once() -> None:
    async with crowd() as there:
        for name in "abcd":
            there.come(name)
            await there.settle()
        there.book.configure({"gpu": Limit(concurrency=3, queue=10)})
        await there.settle()
        assert there.served == ["a", "b", "c"]
        assert there.book.running(A) == 3


async def test_smaller_limits_end_no_call_and_let_nobody_in_until_there_is_room() -> None:
    async with crowd(make_book(concurrency=3)) as there:
        for name in "abcd":
            there.come(name)
            await there.settle()
        there.book.configure({"gpu": Limit(concurrency=1, queue=0)})
        await there.settle()
        assert there.book.running(A) == 3
        for name in "ab":
            there.callers[name].done.set()
            await there.settle()
        assert there.served == ["a", "b", "c"]
        there.callers["c"].done.set()
        await there.settle()
        assert there.served == ["a", "b", "c", "d"]


async def test_a_runtime_that_a_reload_removed_serves_those_that_began_before() -> None:
    async with crowd() as there:
        there.come("runs")
        there.come("waits")
        await there.settle()
        there.book.configure({"laptop": Limit(concurrency=1, queue=1)})
        there.come("comes late")
        await there.settle()
        assert await there.serve_all() == ["runs", "waits", "comes late"]
        assert there.book.in_flight() == {}


async def test_a_caller_is_told_to_come_again_when_calls_as_long_as_these_will_have_ended() -> None:
    book = make_book(concurrency=2, replicas=2)
    assert book.retry_after_s("gpu") == 1.0
    await hold(book, 8.0)
    assert book.retry_after_s("gpu") == 2.0
    await hold(book, 28.0)  # counts for a tenth of the estimate: 10 s
    assert book.retry_after_s("gpu") == 2.5


async def test_nobody_is_told_to_stay_away_for_long_or_to_come_again_at_once() -> None:
    book = make_book()
    await hold(book, 0.001)
    assert book.retry_after_s("gpu") == 1.0
    for _ in range(30):
        await hold(book, 3600)
    assert book.retry_after_s("gpu") == MAX_RETRY_AFTER_S


async def hold(book: AdmissionBook, seconds: float) -> None:
    with book.held(await book.acquire("gpu", [A])):
        await anyio.sleep(seconds)


def test_a_policy_sets_the_limits_of_its_runtimes() -> None:
    text = changed(
        ('["http://127.0.0.1:8000"]', '["http://a", "http://b"]\n    max_concurrency: 3\n    max_queue: 7'),
        ('kind: ollama\n    endpoints: ["http://127.0.0.1:11434"]', "kind: embedded"),
    )
    assert limits_of(load(text)) == {
        "gpu": Limit(concurrency=3, queue=7, replicas=2),
        "laptop": Limit(concurrency=2, queue=256, replicas=1),
    }


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from("abc"), st.sampled_from([(A,), (B,), (A, B), (B, A)])),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("limit"), st.integers(1, 4), st.integers(0, 6)),
        st.tuples(st.just("settle")),
        st.tuples(st.just("tick")),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(_STEPS)
def test_no_order_of_comings_endings_cancellations_and_reloads_loses_a_slot_or_exceeds_a_limit(
    steps: list[tuple[object, ...]],
) -> None:
    run(lambda: play(steps))


async def play(steps: list[tuple[object, ...]]) -> None:
    async with crowd(make_book(concurrency=2, queue=3)) as there:
        limit = most = 2
        for number, step in enumerate(steps):
            match step:
                case ("come", str(tenant), tuple(endpoints)):
                    there.come(str(number), tenant, endpoints)
                case ("end", int(which)) if there.callers:
                    list(there.callers.values())[which % len(there.callers)].done.set()
                case ("cancel", int(which)) if there.callers:
                    list(there.callers.values())[which % len(there.callers)].scope.cancel()
                case ("limit", int(concurrency), int(queue)):
                    limit, most = concurrency, max(most, concurrency)
                    there.book.configure({"gpu": Limit(concurrency=concurrency, queue=queue)})
                case ("tick",):
                    await anyio.lowlevel.checkpoint()
                case ("settle",):
                    await there.settle()
                    check(there, limit)
            assert all(running <= most for running in there.book.in_flight().values())
        await there.settle()
        check(there, limit)
        for caller in there.callers.values():
            caller.done.set()
        await there.settle()
        assert there.book.in_flight() == {}
        assert there.book.queued("gpu") == 0


def check(there: Crowd, limit: int) -> None:
    """What must hold whenever nothing is about to happen."""
    callers = there.callers.values()
    for endpoint in (A, B):
        assert there.book.running(endpoint) == sum(caller.slot == endpoint for caller in callers)
        if there.book.running(endpoint) < limit:
            assert not [caller.name for caller in callers if caller.waiter and endpoint in caller.endpoints]
    for some in ((A,), (B,), (A, B)):
        full = all(there.book.running(endpoint) >= limit for endpoint in some)
        assert there.book.is_full("gpu", Replicas(some)) == full
    assert there.book.total("gpu") == sum(there.book.running(endpoint) for endpoint in (A, B))
    waiting = [caller.waiter for caller in callers if caller.waiter]
    assert there.book.queued("gpu") == len(waiting)
    assert sorted(there.book.position(waiter) or 0 for waiter in waiting) == list(range(1, len(waiting) + 1))


def run(scene: Callable[[], Awaitable[None]]) -> None:
    anyio.run(scene, backend_options={"loop_factory": JumpingLoop})
