"""Policies in which a fallback could never help are refused when they are read, not when it is needed."""

from __future__ import annotations

import pytest

from tests.policies import GOOD, changed, complaints, load

SMALL = "small: {runtime: laptop, context_window: 4096}"
TASK = "models: [big, small]"


def test_a_fallback_without_room_for_a_prompt_beside_the_answer_is_refused() -> None:
    text = changed((TASK, f"{TASK}\n    max_output_tokens: 4096"))
    (said,) = complaints(text)
    assert "tasks.reasoning.models.1: small has a context window of 4096 tokens" in said
    assert "Lower max_output_tokens" in said
    assert load(changed((TASK, f"{TASK}\n    max_output_tokens: 4095")))


def test_the_limit_of_the_defaults_counts_where_the_task_has_none() -> None:
    small = (SMALL, SMALL.replace("4096", "1024"))
    assert "answers may have 1024" in complaints(changed(small))[0]
    assert load(changed(small) + "  max_output_tokens: 512\n")


@pytest.mark.parametrize(("timeout", "limit"), [("interactive", 30), ("long_form", 120)])
def test_a_limit_on_silence_beyond_the_deadline_is_refused(timeout: str, limit: int) -> None:
    task = (TASK, f"{TASK}\n    timeout: {timeout}")
    (said,) = complaints(changed(task) + f"timeouts: {{inter_token: {limit}}}\n")
    assert f"timeouts.inter_token: calls end after {limit} s ({timeout})" in said
    assert load(changed(task) + f"timeouts: {{inter_token: {limit - 1}}}\n")


def test_a_limit_on_silence_is_nobodys_matter_where_there_is_no_fallback() -> None:
    assert load(changed((TASK, "models: [big]")) + "timeouts: {inter_token: 200}\n")


def test_an_endpoint_under_two_names_of_this_machine_is_refused() -> None:
    other = ('endpoints: ["http://127.0.0.1:8000"]', 'endpoints: ["http://127.0.0.1:8000", "http://[::1]:8000"]')
    assert "already belongs" in complaints(changed(other))[0]


def test_a_model_that_is_not_there_is_complained_of_once() -> None:
    assert len(complaints(changed((TASK, "models: [big, smal]")))) == 1


def test_a_policy_that_can_fail_over_is_taken() -> None:
    assert load(GOOD)
