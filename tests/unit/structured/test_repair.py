"""One repair turn shows the model its answer and what was wrong, briefly."""

from __future__ import annotations

from router_mcp.domain import Regex
from router_mcp.errors import OutputInvalidError
from router_mcp.structured import repair_messages
from router_mcp.structured.repair import SHOWN
from tests.unit.structured.constraints import fault, prepared

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}}


def test_violations_are_shown_beside_the_answer() -> None:
    text = '{"age": "old"}'
    said = repair_messages(prepared(AGE), text, fault(AGE, text))
    assert [message.role for message in said] == ["assistant", "user"]
    assert said[0].content == text
    assert "- /age: must be integer" in said[1].content
    assert "no code fence" in said[1].content


def test_a_truncated_answer_asks_for_a_shorter_one() -> None:
    text = '{"age": ' + "1" * 50
    said = repair_messages(prepared(AGE), text, fault(AGE, text, "length"))
    assert [message.role for message in said] == ["user"], "what was cut is not read again"
    assert "short answer" in said[0].content


def test_a_loop_is_not_shown_again() -> None:
    error = OutputInvalidError("x", reason="degenerate")
    said = repair_messages(prepared(AGE), "ha" * 5_000, error)
    assert [message.role for message in said] == ["user"]
    assert "ha" * 5 not in said[0].content


def test_a_long_answer_is_shown_in_part_and_an_empty_one_by_name() -> None:
    error = OutputInvalidError("x", violations=("/: must be shorter",))
    long = repair_messages(prepared(Regex("a+")), "b" * 100_000, error)
    assert len(long[0].content) < SHOWN + 10
    assert "Write only the answer itself." in long[1].content
    assert repair_messages(prepared(AGE), " ", error)[0].content == "(no answer)"
    assert repair_messages(prepared(AGE), "\ud800", error)[0].content == "?"
