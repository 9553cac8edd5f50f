"""Silence: when it proves that an endpoint hangs, and when it is only a load, a long prompt or a busy neighbour."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from router_mcp.domain import Endpoint, Probe
from router_mcp.pulse import PREFILLED_CHARS_PER_S, READ_CHARS_PER_S, REMEMBERED_S, Listening, Pulse

A = Endpoint(runtime="gpu", url="http://a")
B = Endpoint(runtime="gpu", url="http://b")
SILENCE_S = 8.0


class Scene:
    """A pulse on a clock that is moved by hand, and calls that begin and end."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pulse = Pulse(lambda: self.now)
        self._calls: dict[int, ExitStack] = {}
        self.pulse.told(A, Probe())

    def begin(self, model: str = "m", *, chars: int = 0, endpoint: Endpoint = A) -> Listening:
        stack = ExitStack()
        call = stack.enter_context(self.pulse.listening(endpoint, model, prompt_chars=chars, silence_s=SILENCE_S))
        self._calls[id(call)] = stack
        return call

    def end(self, call: Listening) -> None:
        self._calls.pop(id(call)).close()

    def hear(self, call: Listening) -> None:
        call.heard_at = self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def silent(self) -> float:
        return self.pulse.silent_s(A)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nobody_waits_so_nothing_is_silent(scene: Scene) -> None:
    scene.passes(1000)
    assert scene.silent() == 0


def test_a_call_that_waits_beyond_its_patience_finds_a_hang(scene: Scene) -> None:
    scene.begin()
    scene.passes(7.9)
    assert scene.silent() == 0
    scene.passes(0.2)
    assert scene.silent() == pytest.approx(8.1)
    assert scene.pulse.silent_s(B) == 0


def test_a_long_prompt_is_given_the_time_to_be_read(scene: Scene) -> None:
    scene.begin(chars=10 * READ_CHARS_PER_S)
    scene.passes(17.9)
    assert scene.silent() == 0
    scene.passes(0.2)
    assert scene.silent() > 0


def test_while_a_prompt_is_read_counters_may_stand_still(scene: Scene) -> None:
    assert scene.pulse.reading_s(A) == 0
    short, long = scene.begin(chars=100), scene.begin(chars=5 * PREFILLED_CHARS_PER_S)
    assert scene.pulse.reading_s(A) == 5
    scene.hear(long)
    assert scene.pulse.reading_s(A) < 0.1, "it has been read"
    scene.hear(short)
    assert scene.pulse.reading_s(A) == 0


def test_another_call_that_hears_something_means_that_it_is_only_slow(scene: Scene) -> None:
    scene.begin()
    other = scene.begin()
    scene.passes(7)
    scene.hear(other)
    scene.passes(7)
    assert scene.silent() == 0
    scene.passes(2)
    assert scene.silent() == pytest.approx(9)


def test_a_word_counts_also_when_its_call_is_over(scene: Scene) -> None:
    scene.begin()
    other = scene.begin()
    scene.passes(7)
    scene.hear(other)
    scene.end(other)
    scene.passes(7)
    assert scene.silent() == 0


def test_a_stream_that_falls_silent_is_a_hang_too(scene: Scene) -> None:
    call = scene.begin()
    scene.passes(1)
    scene.hear(call)
    scene.passes(9)
    assert scene.silent() == pytest.approx(9)


def test_callers_that_come_one_after_another_do_not_hide_a_hang(scene: Scene) -> None:
    for _ in range(5):
        scene.begin()
        scene.passes(2)
    assert scene.silent() == pytest.approx(10)


def test_nothing_is_concluded_while_a_model_is_being_loaded(scene: Scene) -> None:
    """Ollama #13: a cold load may take minutes."""
    scene.pulse.told(A, Probe(loaded=frozenset({"warm"})))
    warm = scene.begin("warm")
    cold = scene.begin("cold")
    scene.passes(100)
    assert scene.silent() == 0
    scene.end(cold)
    assert scene.silent() == pytest.approx(100)
    scene.end(warm)
    assert scene.silent() == 0


def test_a_model_counts_as_loaded_by_what_was_known_when_the_call_began(scene: Scene) -> None:
    """While it loads a model, Ollama lists it as if it were loaded."""
    scene.pulse.told(A, Probe(loaded=frozenset()))
    scene.begin("m")
    scene.pulse.told(A, Probe(loaded=frozenset({"m"})))
    scene.passes(60)
    assert scene.silent() == 0


def test_before_the_first_probe_nothing_is_known_to_be_loaded(scene: Scene) -> None:
    scene.begin(endpoint=B)
    scene.passes(60)
    assert scene.pulse.silent_s(B) == 0


def test_a_suspicion_may_be_had_earlier_than_a_conclusion(scene: Scene) -> None:
    scene.begin()
    scene.passes(4)
    assert scene.silent() == 0
    assert scene.pulse.silent_s(A, at_least=4) == 4
    assert scene.pulse.silent_s(A, at_least=5) == 0


def test_counters_that_move_show_that_it_works_for_somebody_else(scene: Scene) -> None:
    scene.pulse.told(A, Probe(running=9, tokens_total=100.0))
    scene.begin()
    for tokens in (110.0, 120.0, 130.0, 140.0):
        scene.passes(3)
        scene.pulse.told(A, Probe(running=9, tokens_total=tokens))
    assert scene.silent() == 0
    for _ in range(4):
        scene.passes(3)
        scene.pulse.told(A, Probe(running=9, tokens_total=140.0))
    assert scene.silent() == pytest.approx(15), "the last token came after the last probe but one that saw movement"


def test_callers_with_little_time_prove_together_what_none_of_them_could(scene: Scene) -> None:
    for _ in range(2):
        call = scene.begin()
        scene.passes(3)
        scene.end(call)
        scene.passes(1)
    scene.begin()
    scene.passes(1.9)
    assert scene.silent() == 0
    scene.passes(0.2)
    assert scene.silent() == pytest.approx(8.1)


def test_callers_who_gave_up_at_the_same_time_waited_only_once(scene: Scene) -> None:
    calls = [scene.begin() for _ in range(10)]
    scene.passes(3)
    for call in calls:
        scene.end(call)
    scene.begin()
    scene.passes(4.9)
    assert scene.silent() == 0
    scene.passes(0.2)
    assert scene.silent() == pytest.approx(8.1)


def test_a_caller_who_gave_up_at_once_proves_nothing(scene: Scene) -> None:
    for _ in range(100):
        call = scene.begin()
        scene.passes(0.5)
        scene.end(call)
    scene.begin()
    scene.passes(7.9)
    assert scene.silent() == 0


def test_one_word_forgives_all_that_was_waited_in_vain(scene: Scene) -> None:
    call = scene.begin()
    scene.passes(7)
    scene.end(call)
    served = scene.begin()
    scene.passes(0.5)
    scene.hear(served)
    scene.end(served)
    scene.begin()
    scene.passes(7.9)
    assert scene.silent() == 0


def test_what_was_waited_in_vain_is_forgotten_after_a_while(scene: Scene) -> None:
    call = scene.begin()
    scene.passes(7)
    scene.end(call)
    scene.passes(REMEMBERED_S + 1)
    scene.begin()
    scene.passes(7.9)
    assert scene.silent() == 0


def test_a_call_on_a_cold_model_that_was_given_up_proves_nothing(scene: Scene) -> None:
    scene.pulse.told(A, Probe(loaded=frozenset({"warm"})))
    cold = scene.begin("cold")
    scene.passes(7)
    scene.end(cold)
    scene.begin("warm")
    scene.passes(7.9)
    assert scene.silent() == 0


def test_calls_that_run_while_the_counters_stand_still_are_counted_in_seconds(scene: Scene) -> None:
    """vLLM B1 #5."""
    still = []
    for running, tokens in ((0, 5.0), (3, 5.0), (3, 5.0), (3, 6.0), (3, 6.0), (0, 6.0)):
        scene.passes(10)
        still.append(scene.pulse.told(A, Probe(running=running, tokens_total=tokens)))
    assert still == [0, 10, 20, 0, 10, 0]


def test_an_endpoint_that_does_not_count_is_never_still(scene: Scene) -> None:
    for probe in (Probe(), Probe(running=3), Probe(tokens_total=3.0), Probe(running=3)):
        scene.passes(10)
        assert scene.pulse.told(A, probe) == 0


def test_it_is_idle_since_it_was_last_used_or_first_seen(scene: Scene) -> None:
    assert scene.pulse.idle_s(B) == 0
    scene.passes(30)
    assert scene.pulse.idle_s(A) == 30
    call = scene.begin()
    scene.passes(5)
    assert scene.pulse.idle_s(A) == 0, "a call is in flight"
    scene.hear(call)
    scene.passes(5)
    scene.end(call)
    assert scene.pulse.idle_s(A) == 5
    scene.pulse.told(A, Probe(tokens_total=1.0))
    scene.passes(20)
    scene.pulse.told(A, Probe(tokens_total=2.0))
    assert scene.pulse.idle_s(A) == 20, "somebody else used it after the probe before"


def test_endpoints_that_are_gone_are_forgotten_when_their_last_call_is_over(scene: Scene) -> None:
    call = scene.begin()
    scene.pulse.keep([B])
    assert scene.pulse.probe(A) == Probe()
    scene.end(call)
    scene.pulse.keep([B])
    assert scene.pulse.probe(A) is None
