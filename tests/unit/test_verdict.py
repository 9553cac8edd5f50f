"""What follows from a failed attempt, and what a caller is told when nothing served."""

from __future__ import annotations

import pytest

from router_mcp.domain import Capabilities, Choices, Grammar, Message
from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    BusyError,
    ContextTooLongError,
    DeadlineError,
    ModelMissingError,
    NoRuntimeError,
    OutOfTimeError,
    OutputInvalidError,
    OverloadedError,
    QueueFullError,
    RouterError,
    ServerFailedError,
    StalledError,
    StoodBackError,
    UnauthorizedError,
    UnreachableError,
    UnsupportedConstraintError,
)
from router_mcp.policy import Step
from router_mcp.ranks import DOUBTFUL
from router_mcp.verdict import again, shares, verdict
from tests.policies import changed, load
from tests.records import GPUS, big, failed, make_record, small

GONE = UnreachableError("It is gone. Start it.")
INVALID = OutputInvalidError("The answer is not valid.", violations=("it is no JSON",))
CHOICES = Choices(("yes", "no"))


@pytest.mark.parametrize(
    ("step", "rest", "among"),
    [
        (big(GPUS[0]), [], 1),
        (big(*GPUS[:2]), [], 2),
        (big(*GPUS), [], 2),
        (big(GPUS[0]), [small()], 2),
        (big(*GPUS), [small()], 3),
        (small(), [big(*GPUS)], 3),
        (big(GPUS[0]), [big(GPUS[1], rank=1), small()], 3),
        (big(GPUS[0]), [big(GPUS[1], rank=DOUBTFUL), small()], 2.25),
        (big(GPUS[0]), [small(rank=1)], 2),
        (big(GPUS[0]), [small(rank=DOUBTFUL)], 1.25),
        (big(GPUS[0], rank=DOUBTFUL), [small(rank=DOUBTFUL)], 2),
        (big(GPUS[0], rank=DOUBTFUL), [small(rank=DOUBTFUL + 1)], 2),
    ],
    ids=[
        "alone: all the time there is",
        "with a second replica: half",
        "further replicas are not counted",
        "with a fallback: half",
        "two replicas and a fallback: a third",
        "a fallback's replicas count too",
        "a replica that is merely full counts like one that is well",
        "one that failed counts as a small part",
        "a fallback that is merely full counts",
        "a fallback that failed counts as a small part",
        "one in doubt shares with others in doubt",
        "and with those that are worse",
    ],
)
def test_time_is_shared_with_those_that_may_well_serve(step: Step, rest: list[Step], among: float) -> None:
    assert shares(step, rest) == among


@pytest.mark.parametrize(
    "failure",
    [
        GONE,
        StalledError("s"),
        BrokenStreamError("b"),
        UnauthorizedError("u"),
        ModelMissingError("m"),
        OverloadedError("o"),
    ],
    ids=lambda error: error.outcome,
)
def test_a_failed_replica_costs_a_try_on_another_before_another_model(failure: AttemptError) -> None:
    step = big(*GPUS[:2])
    assert again(failed(make_record(), (step, failure)), step, failure) == ([big(GPUS[1])], [])


@pytest.mark.parametrize(
    "failure",
    [QueueFullError("full"), OutOfTimeError("late"), ContextTooLongError("long"), OutputInvalidError("empty")],
    ids=lambda error: error.outcome,
)
def test_what_another_replica_would_do_no_better_moves_on_to_the_next_model(failure: AttemptError) -> None:
    step = big(*GPUS[:2])
    assert again(failed(make_record(), (step, failure)), step, failure) == ([], [])


def test_a_full_queue_is_that_of_all_replicas() -> None:
    step, record, failure = big(*GPUS[:2]), make_record(), QueueFullError("full")
    record.tried(step, None, 0.0, failure)
    assert again(record, step, failure) == ([], [])


def test_a_model_without_another_replica_moves_on() -> None:
    assert again(failed(make_record(), (small(), GONE)), small(), GONE) == ([], [])


def test_three_replicas_of_a_model_are_tried_and_no_more() -> None:
    record, step, tried = make_record(), big(*GPUS), []
    while True:
        tried.append(step.endpoints[0])
        first, _ = again(failed(record, (step, GONE)), step, GONE)
        if not first:
            break
        step = first[0]
    assert tried == list(GPUS[:3])


def test_a_replica_that_was_not_asked_costs_no_try_and_is_left_for_the_very_end() -> None:
    record, step, ill = make_record(), big(*GPUS[:3]), StoodBackError("ill")
    first, last = again(failed(record, (step, ill)), step, ill)
    assert first == [big(*GPUS[1:3])]
    assert last == [big(GPUS[0], rank=1)]
    assert record.asked() == 0


def test_one_that_stood_back_again_and_again_is_asked_in_the_end() -> None:
    step, ranks = big(GPUS[0]), []
    for _ in range(4):
        ranks.append(step.rank)
        ill = StoodBackError("ill")
        first, (step,) = again(failed(make_record(), (step, ill)), step, ill)
        assert first == []
    assert ranks == [0, 1, 2, 3]


def test_an_invalid_answer_is_repaired_once_by_the_same_model_and_then_the_next_is_asked() -> None:
    record, step = make_record(constraint=CHOICES), big()
    record.repair = (Message(role="user", content="That was wrong."),)
    assert again(failed(record, (step, INVALID)), step, INVALID) == ([step], [])
    assert (record.repairs, len(record.repair)) == (1, 1)
    assert again(failed(record, (step, INVALID)), step, INVALID) == ([], [])
    assert record.repairs == 0
    assert not record.repair


def test_a_truncated_answer_gets_twice_the_room() -> None:
    record, cut = make_record(constraint=CHOICES), OutputInvalidError("It was cut.", reason="truncated")
    again(failed(record, (big(), cut)), big(), cut)
    assert record.max_output_tokens == 2048
    record = make_record(constraint=CHOICES)
    again(failed(record, (big(), INVALID)), big(), INVALID)
    assert record.max_output_tokens == 1024


def test_a_repair_is_forgotten_when_its_attempt_fails_otherwise() -> None:
    record = make_record(constraint=CHOICES)
    record.repairs, record.repair = 1, (Message(role="user", content="That was wrong."),)
    again(failed(record, (big(), GONE)), big(), GONE)
    assert record.repairs == 0
    assert not record.repair


def told(*failures: AttemptError, out_of_time: bool = False, model: str | None = None) -> RouterError:
    """Return what a caller hears when the primary and then the fallback failed so."""
    steps = [big(), small()] if model is None else [small()]
    record = failed(make_record(model=model, constraint=CHOICES), *zip(steps, failures, strict=False))
    return verdict(record, out_of_time=out_of_time)


def test_a_prompt_that_fits_no_model_is_said_to_be_too_long_with_the_numbers() -> None:
    error = verdict(make_record(prompt="word " * 40_000), out_of_time=False)
    assert isinstance(error, ContextTooLongError)
    assert str(error) == (
        "The prompt is too long for task 'reasoning': the prompt has at least 40000 tokens and big takes 32768, "
        "the answer included; the prompt has at least 40000 tokens and small takes 4096, the answer included. "
        "Shorten or split it."
    )


def test_a_constraint_that_no_model_can_enforce_is_said_with_those_that_can_be() -> None:
    record = make_record(constraint=Grammar('root ::= "a"'), capabilities=Capabilities(grammar=False))
    error = verdict(record, out_of_time=False)
    assert isinstance(error, UnsupportedConstraintError)
    assert "vllm cannot enforce a grammar constraint; ollama cannot enforce a grammar constraint" in str(error)
    assert str(error).endswith("Use json_schema, choices or regex, or a task with a model that can.")


@pytest.mark.parametrize(
    "error", [INVALID, ContextTooLongError("long"), UnsupportedConstraintError("not here")], ids=lambda e: e.outcome
)
def test_what_the_caller_can_change_is_told_as_it_is(error: AttemptError) -> None:
    other = type(error)("the first one")
    assert told(other, error) is error
    assert told(other, error, out_of_time=True) is error


def test_of_what_the_caller_can_change_an_invalid_answer_is_told_first() -> None:
    assert told(INVALID, ContextTooLongError("long")) is INVALID
    assert told(ContextTooLongError("long"), INVALID) is INVALID
    unsupported = UnsupportedConstraintError("not here")
    assert told(ContextTooLongError("long"), unsupported) is unsupported


def test_an_invalid_answer_of_the_last_model_is_told_whatever_ails_the_others() -> None:
    assert told(GONE, INVALID) is INVALID
    assert isinstance(told(INVALID, GONE), NoRuntimeError)


def test_when_all_are_busy_the_caller_is_told_when_to_come_again() -> None:
    error = told(OverloadedError("429", retry_after_s=7.5), QueueFullError("full", retry_after_s=20))
    assert isinstance(error, BusyError)
    assert error.retry_after_s == 7.5
    assert str(error) == "Every runtime for task 'reasoning' that is up is busy. Call again in 7.5 s."


def test_when_one_is_busy_and_another_broken_the_caller_may_come_again_too() -> None:
    error = told(OverloadedError("429"), GONE)
    assert isinstance(error, BusyError)
    assert error.retry_after_s == 1
    assert "The other models of the task failed. Call again in 1 s." in str(error)


def test_silence_until_the_deadline_is_told_as_one() -> None:
    for error in (
        told(StalledError("silent"), StalledError("silent")),
        told(GONE, StalledError("silent"), out_of_time=True),
        told(OutOfTimeError("late"), StalledError("silent")),
    ):
        assert isinstance(error, DeadlineError)
        assert str(error) == (
            "No answer within the deadline of 30 s (waited for big, small). "
            "Ask for less (a shorter prompt or max_output_tokens), or use a task with a longer timeout."
        )


def test_a_deadline_before_anything_was_tried_was_spent_waiting_for_a_slot() -> None:
    assert "(waited for a free slot)" in str(told(out_of_time=True))


def test_when_all_are_broken_each_cause_is_told_once_with_its_remedy() -> None:
    record = failed(
        make_record(), (big(), GONE), (big(GPUS[1]), GONE), (small(), ServerFailedError("It failed. Look."))
    )
    error = verdict(record, out_of_time=False)
    assert isinstance(error, NoRuntimeError)
    assert str(error) == ("No runtime could serve task 'reasoning'. big: It is gone. Start it. small: It failed. Look.")


def test_a_task_with_one_model_is_told_that_no_other_is_configured() -> None:
    alone = load(changed(("models: [big, small]", "models: [big]")))
    error = verdict(failed(make_record(policy=alone), (big(), GONE)), out_of_time=False)
    assert str(error).endswith("big: It is gone. Start it. No other model is configured for it.")


def test_a_call_that_pinned_its_model_is_told_so() -> None:
    assert str(told(GONE, model="small")).endswith(
        "small: It is gone. Start it. The call pinned this model: without it, the task's other models may serve."
    )


@pytest.mark.parametrize("out_of_time", [True, False])
def test_every_verdict_is_an_error_with_a_code_that_callers_know(out_of_time: bool) -> None:
    kinds = [GONE, INVALID, StalledError("s"), OverloadedError("o"), ContextTooLongError("c"), StoodBackError("b")]
    codes = {told(one, other, out_of_time=out_of_time).code for one in kinds for other in kinds}
    assert codes <= {"backend_unavailable", "output_invalid", "deadline", "busy", "context_too_long"}
    assert len(codes) >= 4
