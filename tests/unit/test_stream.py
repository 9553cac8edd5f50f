"""One attempt as it runs: when it must speak, who is blamed for silence, and what those who wait can see."""

from __future__ import annotations

import re

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_mcp.budget import make_budget
from router_mcp.domain import Endpoint
from router_mcp.errors import AttemptError, OutOfTimeError, OutputInvalidError, StalledError
from router_mcp.line import Waiter
from router_mcp.pulse import Listening
from router_mcp.stream import Attention, Stream
from tests.clock import JumpingLoop

pytestmark = pytest.mark.anyio

POLICY_S = 30.0
INTER_TOKEN_S = 8.0
GPU = Endpoint(runtime="gpu", url="http://gpu")


def make_stream(
    *, seconds: float = POLICY_S, share_s: float | None = None, attention: Attention | None = None
) -> Stream:
    """Return the stream of an attempt that begins now, in a call of `seconds` of which `share_s` are its own."""
    now = anyio.current_time()
    return Stream(
        clock=anyio.current_time,
        budget=make_budget(now=now, policy_s=seconds, asked_s=None, inter_token_s=INTER_TOKEN_S),
        limit=now + (seconds if share_s is None else share_s),
        attention=attention or Attention(),
        listening=Listening(begun=now, warm=True, patience_s=INTER_TOKEN_S),
    )


def about(seconds: float) -> object:
    """Compare with a time on the jumping clock, to which the machine's own time is added."""
    return pytest.approx(seconds, abs=0.5)


async def lasts(stream: Stream, *words_at: float, then_s: float = 0.0) -> float:
    """Say a word at each of these seconds, then be silent; return when it was over."""
    started = anyio.current_time()
    with stream.scope:
        for at in words_at:
            await anyio.sleep(max(0.0, started + at - anyio.current_time()))
            stream.text("word ")
        await anyio.sleep(then_s)
    return anyio.current_time() - started


def why(stream: Stream) -> AttemptError:
    return stream.overdue(GPU, POLICY_S / 2)


async def test_an_attempt_that_says_nothing_ends_with_its_share_and_its_endpoint_is_blamed() -> None:
    stream = make_stream(share_s=10)
    assert await lasts(stream, then_s=60) == about(10)
    error = why(stream)
    assert isinstance(error, StalledError)
    assert re.fullmatch(r"gpu \(http://gpu\) said nothing for 10\.\d s\. Look at its log and its load\.", str(error))
    assert stream.first_token_at is None
    assert stream.partial == ""


async def test_the_first_word_opens_the_rest_of_the_call() -> None:
    stream = make_stream(share_s=10)
    words = [9.0, 15.0, 20.0, 25.0, 29.0]
    assert await lasts(stream, *words, then_s=0.2) == about(29.2)
    assert not stream.scope.cancelled_caught
    assert stream.partial == "word " * 5
    assert stream.tokens == 5


async def test_a_long_answer_in_a_steady_stream_ends_only_with_the_call() -> None:
    stream = make_stream(share_s=5)
    assert await lasts(stream, *[n / 10 for n in range(1, 400)]) == about(30)
    assert isinstance(why(stream), OutOfTimeError)
    assert 290 <= stream.tokens <= 300


async def test_silence_in_mid_answer_is_noticed_within_ten_seconds() -> None:
    stream = make_stream(seconds=120)
    ended = await lasts(stream, 1.0, 2.0, 3.0, then_s=60)
    assert 3 + INTER_TOKEN_S <= ended <= 3 + 10.5
    error = why(stream)
    assert isinstance(error, StalledError)
    assert str(error).startswith("gpu (http://gpu) fell silent in mid-answer for ")
    assert stream.partial == "word word word "


async def test_what_is_no_part_of_the_answer_is_a_sign_of_life_too() -> None:
    stream = make_stream(share_s=10)
    with stream.scope:
        for _ in range(4):
            await anyio.sleep(6)
            stream.alive()
        stream.text("done")
    assert not stream.scope.cancelled_caught
    assert (stream.tokens, stream.partial) == (1, "done")
    assert stream.first_token_at == about(stream.listening.begun + 6)
    assert stream.listening.heard_at == about(stream.listening.begun + 24)


async def test_a_caller_in_a_hurry_proves_nothing_against_an_endpoint() -> None:
    stream = make_stream(seconds=0.5)
    assert await lasts(stream, then_s=60) == about(0.5)
    error = why(stream)
    assert isinstance(error, OutOfTimeError)
    assert str(error) == "gpu (http://gpu) was at work when its time ended. Allow more time, or ask for less."


async def test_a_policy_of_short_calls_blames_after_less_silence() -> None:
    stream = make_stream(seconds=2)
    await lasts(stream, then_s=60)
    assert isinstance(stream.overdue(GPU, share_s=1), StalledError)
    assert isinstance(stream.overdue(GPU, share_s=15), OutOfTimeError)


async def test_an_endless_repetition_is_cut_off_and_is_the_answers_fault() -> None:
    stream, heard = make_stream(), list[str]()

    def repeats(delta: str) -> bool:
        heard.append(delta)
        return len(heard) == 3

    stream.degenerate = repeats
    assert await lasts(stream, 1.0, 2.0, 3.0, 3.0, 3.0, then_s=10) == about(3)
    error = why(stream)
    assert isinstance(error, OutputInvalidError)
    assert (error.reason, error.violations) == ("degenerate", ("the answer repeats itself without end",))
    stream.text("more, which came in the same packet")
    assert len(heard) == 3


async def test_the_time_limit_is_not_moved_at_every_word() -> None:
    stream, limits = make_stream(seconds=1000), set[float]()
    for _ in range(80):
        await anyio.sleep(1)
        stream.text("word ")
        limits.add(stream.scope.deadline)
    assert len(limits) <= 80 / (0.25 * INTER_TOKEN_S) + 1


async def test_whoever_waits_sees_the_words_of_every_attempt() -> None:
    shown: list[str] = []
    attention = Attention(on_text=shown.append)
    await lasts(make_stream(attention=attention), 0.1, 0.2)
    await lasts(make_stream(attention=attention), 0.1)
    assert attention.tokens == 3
    assert shown == ["word "] * 3


async def test_whoever_waits_sees_that_the_call_stands_in_a_queue() -> None:
    attention, waiter = Attention(), Waiter(endpoints=(GPU,), tenant="")
    assert (attention.phase, attention.waiter) == ("routing", None)
    attention.waits(waiter)
    assert attention.waiter is waiter
    attention.waits(None)
    assert attention.waiter is None


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40).map(lambda quarters: quarters / 4), max_size=30))
def test_whatever_its_rhythm_a_stream_has_its_inter_token_limit_and_at_most_a_quarter_more(gaps: list[float]) -> None:
    async def scene() -> None:
        now = 0.0
        stream = Stream(
            clock=lambda: now,
            budget=make_budget(now=0, policy_s=60, asked_s=None, inter_token_s=INTER_TOKEN_S),
            limit=10.0,
            attention=Attention(),
            listening=Listening(begun=0, warm=True, patience_s=INTER_TOKEN_S),
        )
        for gap in gaps:
            now += gap
            stream.text("x")
            patience = stream.scope.deadline - now
            assert patience == 60 - now or INTER_TOKEN_S <= patience <= 1.25 * INTER_TOKEN_S
            assert stream.scope.deadline <= 60

    anyio.run(scene, backend_options={"loop_factory": JumpingLoop})
