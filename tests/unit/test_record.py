"""What a call's record remembers, and the receipt and the answer that come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router_mcp.domain import Attempt, Capabilities, Choices, Completion, GenerateRequest, Message, Usage
from router_mcp.errors import BrokenStreamError, QueueFullError, StoodBackError, UnreachableError
from router_mcp.record import CUT_OFF, refused_receipt
from tests.policies import changed, load
from tests.records import GPUS, NOW, POLICY, big, failed, make_record, small

ANSWER = Completion(text="hello", finish_reason="stop", usage=Usage(input_tokens=3, output_tokens=1))
THREE = load(
    changed(
        ("  small: {", "  tiny: {runtime: laptop, context_window: 2048}\n  small: {"),
        ("models: [big, small]", "models: [big, tiny, small]"),
    )
)


def test_a_record_knows_the_policy_that_the_call_began_with() -> None:
    assert make_record().policy is POLICY


def test_an_attempt_is_remembered_as_the_receipt_shows_it() -> None:
    record = make_record()
    record.tried(big(), GPUS[0], 1.23456, UnreachableError("It is gone. Start it."))
    record.tried(small(), None, 0.0, QueueFullError("It is full."))
    record.tried(small(), small().endpoints[0], 0.5)
    assert record.attempts == [
        Attempt(
            model="big",
            runtime="gpu",
            endpoint="http://gpu-1",
            outcome="unreachable",
            seconds=1.2346,
            detail="It is gone. Start it.",
        ),
        Attempt(model="small", runtime="laptop", endpoint="", outcome="queue_full", seconds=0.0, detail="It is full."),
        Attempt(model="small", runtime="laptop", endpoint="http://127.0.0.1:11434", outcome="ok", seconds=0.5),
    ]
    assert [(model, str(error)) for model, error in record.failures] == [
        ("big", "It is gone. Start it."),
        ("small", "It is full."),
    ]


def test_only_attempts_that_reached_a_runtime_count_as_asked() -> None:
    record = failed(
        make_record(),
        (big(), UnreachableError("gone")),
        (small(), QueueFullError("full")),
        (small(), StoodBackError("ill")),
    )
    assert record.asked() == 1


def test_the_longest_text_that_was_said_before_a_failure_is_kept_with_its_step() -> None:
    record = make_record()
    record.keep_partial(big(), "", 0)
    assert record.partial is None
    record.keep_partial(big(), "longer", 3)
    record.keep_partial(small(), "short", 9)
    record.keep_partial(small(), "longer", 9)
    assert record.partial is not None
    step, said = record.partial
    assert (step.model, said.text, said.finish_reason, said.usage) == (
        "big",
        "longer",
        "length",
        Usage(output_tokens=3),
    )
    record.keep_partial(small(), "the longest", 9)
    assert record.partial[0].model == "small"


def test_an_answer_of_the_primary_has_no_fallback() -> None:
    record = make_record()
    record.tried(big(), GPUS[0], 1.0)
    assert record.result(big(), ANSWER, NOW + 1).fallback_from == ()


def test_an_answer_says_which_models_were_tried_or_passed_over_before() -> None:
    record = failed(make_record(policy=THREE), (big(), UnreachableError("gone")))
    assert record.passed_over("small") == ("big", "tiny")
    assert record.passed_over("tiny") == ("big",)
    assert record.passed_over("big") == ()


def test_a_model_that_was_tried_first_counts_even_when_it_stands_behind() -> None:
    assert failed(make_record(), (small(), UnreachableError("gone"))).passed_over("big") == ("small",)


def test_a_model_that_could_not_serve_the_call_was_passed_over_too() -> None:
    record = make_record(prompt="word " * 5000)
    assert record.passed_over("big") == ("small",)


def test_a_pinned_call_has_no_fallbacks_to_speak_of() -> None:
    assert make_record(model="small").passed_over("small") == ()


def test_a_receipt_tells_how_the_call_came_about() -> None:
    record = failed(make_record(prompt="word " * 5000), (big(), BrokenStreamError("cut")))
    record.notes.append("Temperature 0.9 was clamped to 0.3.")
    record.queue_wait_s, record.first_token_s = 0.123456, 0.5
    receipt = record.receipt(NOW + 2.00004)
    assert (receipt.request_id, receipt.task, receipt.attempts) == ("call-1", "reasoning", tuple(record.attempts))
    assert (receipt.deadline_s, receipt.seconds, receipt.queue_wait_s) == (30, 2.0, 0.1235)
    assert (receipt.time_to_first_token_s, receipt.trace_id) == (0.5, None)
    assert receipt.notes == (
        "Temperature 0.9 was clamped to 0.3.",
        "small was not tried: the prompt has at least 5000 tokens and small takes 4096, the answer included.",
    )


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (None, None),
        (f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16),
        ("nonsense", None),
        ("a-b", None),
    ],
)
def test_a_receipt_names_the_trace_that_the_caller_is_in(traceparent: str | None, trace_id: str | None) -> None:
    assert make_record(traceparent=traceparent).receipt(NOW).trace_id == trace_id


def test_an_answer_holds_what_was_said_by_whom_and_how() -> None:
    record = failed(make_record(constraint=Choices(("hello", "bye"))), (big(), UnreachableError("gone")))
    record.tried(small(), small().endpoints[0], 1.0)
    result = record.result(small(), ANSWER, NOW + 3, data="hello")
    assert (result.text, result.task, result.model, result.runtime) == ("hello", "reasoning", "small", "laptop")
    assert (result.finish_reason, result.usage, result.temperature) == ("stop", ANSWER.usage, 0.7)
    assert (result.data, result.attempts, result.fallback_from) == ("hello", 2, ("big",))
    assert result.receipt == record.receipt(NOW + 3)


def test_an_answer_that_the_deadline_cut_says_so_and_what_it_took_at_the_least() -> None:
    """Runtimes count tokens at the end of an answer, which nobody waited for."""
    record = make_record(prompt="one two three four")
    record.keep_partial(big(), "five six", 2)
    cut = record.cut_off(NOW + 30)
    assert cut is not None
    assert (cut.text, cut.model, cut.finish_reason) == ("five six", "big", "deadline")
    assert cut.usage == Usage(input_tokens=4, output_tokens=2)
    assert cut.receipt.notes == (CUT_OFF,)


def test_a_runtime_that_sends_many_tokens_at_once_wrote_at_least_as_many_as_its_text_has() -> None:
    record = make_record()
    record.keep_partial(big(), "seven words in no more than two pieces", 2)
    cut = record.cut_off(NOW + 30)
    assert cut is not None
    assert cut.usage.output_tokens == 8


def test_what_came_before_the_prompt_was_read_too() -> None:
    request = GenerateRequest(prompt="a b", system="c", history=(Message(role="user", content="d e f"),))
    record = replace(make_record(), request=request)
    record.keep_partial(big(), "g", 1)
    cut = record.cut_off(NOW + 30)
    assert cut is not None
    assert cut.usage.input_tokens == 6


def test_when_nothing_was_said_or_only_part_of_some_data_there_is_no_answer() -> None:
    assert make_record().cut_off(NOW + 30) is None
    structured = make_record(constraint=Choices(("a",)))
    structured.keep_partial(big(), '{"a', 2)
    assert structured.cut_off(NOW + 30) is None


def test_a_record_of_a_constrained_call_skips_runtimes_that_cannot() -> None:
    record = make_record(constraint=Choices(("a",)), capabilities=Capabilities(choices=False))
    assert [skip.code for skip in record.plan.skipped] == ["unsupported_constraint"] * 2
    assert record.prepared is not None


@pytest.mark.parametrize(
    ("asked", "shown"), [(None, "reasoning"), ("embedding", "embedding"), ("no such task", ""), ("", "")]
)
def test_the_receipt_of_a_call_that_never_began_repeats_no_task_that_there_is_not(
    asked: str | None, shown: str
) -> None:
    request = GenerateRequest(prompt="hi", task=asked, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    receipt = refused_receipt(POLICY, request, "call-1")
    assert (receipt.request_id, receipt.task, receipt.attempts) == ("call-1", shown, ())
    assert (receipt.deadline_s, receipt.trace_id) == (0, "ab" * 16)
