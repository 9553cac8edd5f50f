"""One line a call in the log, with the facts of its receipt and nothing of what was said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from router_mcp.domain import GenerateRequest
from router_mcp.edge.logs import configure_logging
from router_mcp.errors import NoRuntimeError, UnknownTaskError
from router_mcp.telemetry.call_log import CallLog
from tests.houses import House, open_house
from tests.scripted import REFUSES, ScriptedRuntime, hangs

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


ASK = GenerateRequest(prompt="secret prompt", system="secret system", task="reasoning", tenant="acme-tenant")


@asynccontextmanager
async def logged(log_format: Any = "json", **parts: Any) -> AsyncGenerator[tuple[House, io.StringIO]]:
    stream = io.StringIO()
    configure_logging(log_format, stream=stream)
    async with open_house(telemetry=CallLog(), **parts) as house:
        yield house, stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_an_answered_call_is_one_line_with_its_facts() -> None:
    async with logged(gpu=ScriptedRuntime(REFUSES)) as (house, stream):
        result = await house.router.generate(ASK)
    (line,) = lines(stream)
    assert line["level"] == "info"
    assert line["request_id"] == result.receipt.request_id
    assert (line["task"], line["model"], line["runtime"], line["outcome"]) == ("reasoning", "small", "laptop", "ok")
    assert [(each["model"], each["outcome"]) for each in line["attempts"]] == [("big", "unreachable"), ("small", "ok")]
    assert (line["input_tokens"], line["output_tokens"]) == (7, 3)
    assert line["fallback_from"] == ["big"]
    assert line["seconds"] >= 0
    for never in ("secret", "acme", "hello from here"):
        assert never not in stream.getvalue()


async def test_a_refused_call_is_a_line_with_its_code_and_id() -> None:
    down = ScriptedRuntime(REFUSES)
    async with logged(gpu=down, laptop=down) as (house, stream):
        with pytest.raises(NoRuntimeError) as failed:
            await house.router.generate(ASK)
        with pytest.raises(UnknownTaskError):
            await house.router.generate(GenerateRequest(prompt="x", task="no-such-task"))
    first, second = lines(stream)
    assert first["outcome"] == "backend_unavailable"
    assert failed.value.receipt is not None
    assert first["request_id"] == failed.value.receipt.request_id
    assert second["outcome"] == "unknown_task"
    assert second["request_id"]


async def test_a_call_that_was_given_up_is_a_line_too() -> None:
    async with logged(gpu=ScriptedRuntime(hangs())) as (house, stream):
        with anyio.move_on_after(2):
            await house.router.generate(ASK)
    (line,) = lines(stream)
    assert line["outcome"] == "cancelled"
    assert line["seconds"] == pytest.approx(2, abs=0.1)


async def test_the_text_format_says_the_same_in_words() -> None:
    async with logged("text") as (house, stream):
        await house.router.generate(ASK)
    said = stream.getvalue()
    assert "request_id=call-1 task=reasoning outcome=ok model=big runtime=gpu" in said
    assert "attempts=big:ok" in said
    assert "secret" not in said
