"""What llama.cpp is sent, and what its refusals mean. That it understands it is shown in tests/live/embedded."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.domain import Call, Choices, Endpoint, Grammar, JsonSchema, Message
from router_mcp.errors import (
    AttemptError,
    ContextTooLongError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnsupportedConstraintError,
)
from router_mcp.runtimes.llama_refusals import refusal
from router_mcp.runtimes.llama_request import choices_grammar, request_body
from router_mcp.runtimes.llama_supervisor import pause_s

ENDPOINT = Endpoint(runtime="embedded", url="embedded:embedded")


def call(**changes: Any) -> Call:
    values: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "model": "smollm2",
        "messages": (Message(role="user", content="hi"),),
        "temperature": 0.5,
        "max_output_tokens": 8,
        "context_window": 512,
        "request_id": "1",
    }
    return Call(**values | changes)


def test_a_plain_call_says_its_limit_and_nothing_that_llama_cpp_does_not_know() -> None:
    body = request_body(call(seed=7, stop=("END",), cache_salt="tenant", priority=3))
    assert body == {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 8,
        "temperature": 0.5,
        "cache_prompt": True,
        "seed": 7,
        "stop": ["END"],
    }
    assert request_body(call()).keys() == body.keys() - {"seed", "stop"}


def test_a_constraint_never_goes_with_a_stop_text() -> None:
    schema = {"type": "integer"}
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    asked = request_body(call(constraint=JsonSchema(schema), stop=("END",)))
    assert asked["response_format"] == wrapped
    assert "stop" not in asked
    assert request_body(call(constraint=Grammar("root ::= [0-9]")))["grammar"] == "root ::= [0-9]"
    assert request_body(call(constraint=Choices(("yes", "no"))))["grammar"] == 'root ::= "no" | "yes"'


def test_choices_share_what_they_begin_with() -> None:
    assert choices_grammar(["value 1", "value 12", "value 2", "other", "value 1"]) == (
        'root ::= "other" | "value " n1\nn1 ::= "1" n2 | "2"\nn2 ::= "" | "2"'
    )


def sentences(grammar: str, rule: str = "root") -> set[str]:
    """Return every string of a grammar that `choices_grammar` wrote, by reading its small part of GBNF."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.split("\n"))
    found: set[str] = set()
    for literal, follows in re.findall(r'"((?:[^"\\]|\\.)*)"(?: (n\d+))?(?: \| |$)', rules[rule]):
        escape = re.compile(r'\\(x([0-9A-F]{2})|["\\])')
        text = escape.sub(lambda m: chr(int(m[2], 16)) if m[2] else m[1], literal)
        found |= {text + rest for rest in (sentences(grammar, follows) if follows else {""})}
    return found


@given(st.sets(st.text(alphabet='ab"\\ \n\t|n1é😀\x7f', max_size=6), min_size=1, max_size=20))
def test_the_grammar_of_choices_has_these_sentences_and_no_others(options: set[str]) -> None:
    assert sentences(choices_grammar(options)) == options


def test_deeply_nested_choices_need_no_deep_recursion() -> None:
    assert choices_grammar("a" * length for length in range(1, 1500)).count("\n") == 1498


NO_CONSTRAINT, CONSTRAINED = call(), call(constraint=Grammar("root ::= ("))


@pytest.mark.parametrize(
    ("asked", "status", "body", "expected"),
    [
        (NO_CONSTRAINT, 400, {"error": {"type": "invalid_request_error"}}, RejectedError),
        (NO_CONSTRAINT, 400, None, RejectedError),
        (NO_CONSTRAINT, 400, {"error": "text"}, RejectedError),
        (NO_CONSTRAINT, 500, {"error": {"type": "server_error"}}, ServerFailedError),
        (NO_CONSTRAINT, 503, {"error": {"type": "unavailable_error"}}, ServerFailedError),
        (NO_CONSTRAINT, 429, None, OverloadedError),
        (CONSTRAINED, 400, {"error": {"type": "invalid_request_error"}}, UnsupportedConstraintError),
        (CONSTRAINED, 500, {"error": {"type": "server_error"}}, UnsupportedConstraintError),
        (CONSTRAINED, 503, None, ServerFailedError),
        (CONSTRAINED, 400, {"error": {"type": "exceed_context_size_error"}}, ContextTooLongError),
    ],
)
def test_refusals_are_told_apart(asked: Call, status: int, body: object, expected: type[AttemptError]) -> None:
    error = refusal(asked, status, httpx.Headers(), body)
    assert type(error) is expected


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"n_prompt_tokens": 900, "n_ctx": 256}, "window of 256 tokens, and the prompt has 900."),
        ({}, "window of 512 tokens. Shorten"),
    ],
    ids=["with numbers", "without"],
)
def test_a_prompt_that_is_too_long_is_told_with_the_numbers_there_are(numbers: dict[str, int], said: str) -> None:
    body = {"error": {"type": "exceed_context_size_error", "message": "secret", **numbers}}
    assert said in str(refusal(call(), 400, httpx.Headers(), body))


def test_a_first_failure_is_forgiven_and_later_ones_wait_longer_and_longer_but_not_for_ever() -> None:
    assert [pause_s(failures) for failures in (0, 1, 2, 3, 4, 7, 5000)] == [0, 0, 1, 2, 4, 30, 30]
