"""`router.structured(Model, …)`: a type goes in, a value of it comes out; what its validators refuse is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from router_mcp.domain import JsonSchema, Message
from router_mcp.errors import InvalidArgumentsError, OutputInvalidError
from tests.houses import open_house
from tests.scripted import ScriptedRuntime, in_turn, says

pytestmark = pytest.mark.anyio


class Invoice(BaseModel):
    """Something that is paid."""

    number: str = Field(pattern="^[A-Z]{2}-[0-9]+$", description="As printed at the top")
    due: date
    total: float = Field(ge=0)

    @field_validator("number")
    @classmethod
    def _not_cancelled(cls, number: str) -> str:
        if number.startswith("XX"):
            raise ValueError("XX stands on cancelled ones")
        return number


GOOD = '{"number": "AB-1", "due": "2026-11-23", "total": 12.5}'
CANCELLED = '{"number": "XX-1", "due": "2026-11-23", "total": 1}'


async def test_a_pydantic_model_comes_back_as_one_with_everything_that_a_result_has() -> None:
    gpu = ScriptedRuntime(says(GOOD))
    async with open_house(gpu=gpu) as house:
        result = await house.router.structured(Invoice, "Read it.", task="reasoning", system="Be exact.", seed=3)
    assert result.data == Invoice(number="AB-1", due=date(2026, 11, 23), total=12.5)
    assert (result.model, result.attempts, result.receipt.task) == ("big", 1, "reasoning")
    assert gpu.calls[0].seed == 3
    assert isinstance(gpu.calls[0].constraint, JsonSchema)
    assert any("As printed at the top" in message.content for message in gpu.calls[0].messages)


@dataclass
class Point:
    x: int
    y: int


async def test_any_type_that_pydantic_knows_will_do() -> None:
    async with open_house(gpu=ScriptedRuntime(says('{"x": 1, "y": 2}'))) as house:
        assert (await house.router.structured(Point, "Where?")).data == Point(1, 2)
    async with open_house(gpu=ScriptedRuntime(says("[1, 2]"))) as house:
        assert (await house.router.structured(list[int], "Count.")).data == [1, 2]
    async with open_house(gpu=ScriptedRuntime(says('"b"'))) as house:
        choice: type[str] = Literal["a", "b"]  # type: ignore[assignment] # a special form, which pydantic takes
        assert (await house.router.structured(choice, "Which?")).data == "b"


async def test_what_only_the_model_s_own_validators_refuse_is_shown_once_and_put_right() -> None:
    gpu = ScriptedRuntime(in_turn(says(CANCELLED), says(GOOD)))
    history = (Message(role="user", content="Hi."), Message(role="assistant", content="Hello."))
    async with open_house(gpu=gpu) as house:
        result = await house.router.structured(Invoice, "Read it.", history=history, timeout_s=20)
    assert result.data.number == "AB-1"
    assert result.attempts == 2
    shown = gpu.calls[1].messages
    assert "/number: Value error, XX stands on cancelled ones" in shown[-1].content
    assert "XX-1" in shown[-2].content
    assert any("Hello." in message.content for message in shown)


async def test_what_stays_refused_is_an_error_that_names_place_and_rule() -> None:
    async with open_house(gpu=ScriptedRuntime(says(CANCELLED))) as house:
        with pytest.raises(OutputInvalidError, match=r"not a valid Invoice: /number: .*cancelled ones") as raised:
            await house.router.structured(Invoice, "Read it.")
    assert raised.value.violations == ("/number: Value error, XX stands on cancelled ones",)
    assert raised.value.receipt is not None


async def test_there_is_no_repair_after_the_deadline() -> None:
    gpu = ScriptedRuntime(says(CANCELLED, after_s=29.99999))
    async with open_house(gpu=gpu) as house:
        with pytest.raises(OutputInvalidError):
            await house.router.structured(Invoice, "Read it.")
    assert len(gpu.calls) == 1


async def test_a_schema_breach_is_repaired_before_the_type_is_even_asked() -> None:
    gpu = ScriptedRuntime(in_turn(says('{"number": "AB-1"}'), says(GOOD)))
    async with open_house(gpu=gpu) as house:
        result = await house.router.structured(Invoice, "Read it.")
    assert result.attempts == 2
    assert [attempt.outcome for attempt in result.receipt.attempts] == ["output_invalid", "ok"]


class Unsayable(BaseModel):
    call: Callable[[], int]


async def test_a_type_without_a_schema_is_refused_with_the_remedy() -> None:
    async with open_house() as house:
        with pytest.raises(InvalidArgumentsError, match=r"Unsayable has no JSON Schema\. Use fields"):
            await house.router.structured(Unsayable, "Call.")
