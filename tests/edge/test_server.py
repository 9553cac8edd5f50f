"""What an MCP client sees of the router, in memory and in both protocol eras. Runtimes are scripted; time jumps."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from router_mcp.edge.app import Source
from router_mcp.edge.server import INSTRUCTIONS, build_server
from router_mcp.errors import BrokenStreamError
from router_mcp.router import Router
from tests.houses import House, make_policy, open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, hangs, says

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def connected(era: str, **parts: Any) -> AsyncGenerator[tuple[Client, House]]:
    houses: list[House] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Router]:
        async with open_house(**parts) as house:
            houses.append(house)
            yield house.router

    server = build_server(Source(open_router=opened), make_policy())
    async with Client(server, mode=era, raise_exceptions=True) as client:
        yield client, houses[0]


def text_of(result: CallToolResult) -> str:
    return "".join(getattr(part, "text", "") for part in result.content)


def code_of(result: CallToolResult) -> str:
    assert result.is_error
    assert result.structured_content is None
    return str((result.meta or {})["router-mcp/error"]["code"])


async def test_the_tools_are_these_and_their_schemas_are_flat(era: str) -> None:
    async with connected(era) as (client, _):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == ["generate", "structured_generate", "list_models", "explain_route"]
    for tool in tools.values():
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.description
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        for word in ("$ref", "$defs", "anyOf"):
            assert word not in json.dumps(tool.input_schema)
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), f"{tool.name}.{name} says nothing"
    assert list(tools["generate"].input_schema["properties"]) == [
        "prompt", "task", "system", "history", "temperature", "max_output_tokens", "stop", "seed", "timeout_s",
        "tenant", "model", "idempotency_key",
    ]  # fmt: skip
    task = tools["generate"].input_schema["properties"]["task"]
    assert task["enum"] == ["reasoning", "short-first", "report", "triage", "embedding"]
    assert task["default"] == "reasoning"


async def test_data_that_is_null_is_an_answer(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(says("null"))) as (client, _):
        result = await client.call_tool("structured_generate", {"prompt": "Any?", "json_schema": {"type": "null"}})
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    assert result.structured_content["data"] is None
    assert text_of(result) == "null"


async def test_listings_have_a_receipt_too(era: str) -> None:
    async with connected(era) as (client, _):
        for tool in ("list_models", "explain_route"):
            route = ((await client.call_tool(tool, {})).meta or {})["router-mcp/route"]
            assert (route["attempts"], route["queue_wait_s"]) == ([], 0.0)
            assert route["request_id"]


async def test_a_client_that_shows_only_instructions_still_sells_the_tools(era: str) -> None:
    async with connected(era) as (client, _):
        assert client.instructions == INSTRUCTIONS
    assert "structured_generate" in INSTRUCTIONS
    assert len(INSTRUCTIONS.splitlines()) <= 5


async def test_generate_answers_in_text_and_in_structured_content_with_a_receipt(era: str) -> None:
    async with connected(era) as (client, _):
        result = await client.call_tool("generate", {"prompt": "Say hello.", "task": "reasoning"})
    assert not result.is_error
    assert text_of(result) == "hello from here"
    assert result.structured_content == {
        "text": "hello from here",
        "task": "reasoning",
        "model": "big",
        "runtime": "gpu",
        "finish_reason": "stop",
        "usage": {"input_tokens": 7, "output_tokens": 3},
        "temperature": 0.7,
    }
    route = (result.meta or {})["router-mcp/route"]
    assert route["request_id"]
    assert route["deadline_s"] == 30
    assert route["queue_wait_s"] == 0
    assert "trace_id" in route
    attempt = {"model": "big", "runtime": "gpu", "endpoint": "http://gpu", "outcome": "ok"}
    assert {key: route["attempts"][0][key] for key in attempt} == attempt
    assert "seconds" in route["attempts"][0]


async def test_an_answer_of_the_fallback_says_so(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(fails(BrokenStreamError("cut")))) as (client, _):
        result = await client.call_tool("generate", {"prompt": "hi"})
    assert (result.structured_content or {})["fallback_from"] == ["big"]
    outcomes = [attempt["outcome"] for attempt in (result.meta or {})["router-mcp/route"]["attempts"]]
    assert outcomes == ["broken_stream", "ok"]


async def test_structured_generate_returns_data_and_its_json(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(says('{"n": 3}'))) as (client, _):
        result = await client.call_tool("structured_generate", {"prompt": "n", "json_schema": NUMBER})
    assert (result.structured_content or {})["data"] == {"n": 3}
    assert (result.structured_content or {})["attempts"] == 1
    assert json.loads(text_of(result)) == {"n": 3}


async def test_data_that_is_not_an_object_is_data_too(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(says("yes"))) as (client, _):
        result = await client.call_tool("structured_generate", {"prompt": "?", "choices": ["yes", "no"]})
    assert (result.structured_content or {})["data"] == "yes"
    assert text_of(result) == '"yes"'


LITERALS = ['{"a": 1}', "[1, 2]", "null", "1", "true", '"quoted"', " ", "naïve ☕ 𝄞"]


@pytest.mark.parametrize("text", LITERALS)
async def test_texts_that_look_like_json_arrive_untouched(era: str, text: str) -> None:
    async with connected(era) as (client, house):
        await client.call_tool("generate", {"prompt": text, "system": text, "model": "small"})
    assert house.laptop.calls[0].messages[-1].content == text
    assert house.laptop.calls[0].messages[0].content == text


async def test_a_schema_sent_as_json_text_is_understood(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(says('{"n": 3}'))) as (client, _):
        arguments = {"prompt": "n", "json_schema": json.dumps(NUMBER), "history": '[{"role":"user","content":"x"}]'}
        result = await client.call_tool("structured_generate", arguments)
    assert (result.structured_content or {})["data"] == {"n": 3}


WIZARD = {"role": "wizard", "content": "y"}
BAD, SCHEMA, S = "invalid_arguments", "schema_invalid", "structured_generate"
REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("an unknown argument", "generate", {"prompt": "x", "max_tokens": 3}, BAD, "max_output_tokens"),
    ("no prompt", "generate", {}, BAD, "prompt"),
    ("an empty prompt", "generate", {"prompt": ""}, BAD, "prompt"),
    ("a number for a text", "generate", {"prompt": 5}, BAD, "prompt"),
    ("a temperature of 3", "generate", {"prompt": "x", "temperature": 3}, BAD, "temperature"),
    ("a temperature in words", "generate", {"prompt": "x", "temperature": "hot"}, BAD, "temperature"),
    ("no tokens at all", "generate", {"prompt": "x", "max_output_tokens": 0}, BAD, "max_output"),
    ("a deadline of zero", "generate", {"prompt": "x", "timeout_s": 0}, BAD, "timeout_s"),
    ("five stops", "generate", {"prompt": "x", "stop": list("abcde")}, BAD, "stop"),
    ("a role of its own", "generate", {"prompt": "x", "history": [WIZARD]}, BAD, "role"),
    ("an unknown task", "generate", {"prompt": "x", "task": "cooking"}, "unknown_task", "reasoning"),
    ("the embedding task", "generate", {"prompt": "x", "task": "embedding"}, "wrong_server", "embed_texts"),
    ("an unknown model", "generate", {"prompt": "x", "model": "gpt"}, BAD, "small"),
    ("a prompt beyond every window", "generate", {"prompt": "word " * 40_000}, "context_too_long", "32768"),
    ("no constraint", "structured_generate", {"prompt": "x"}, BAD, "exactly one"),
    ("two constraints", S, {"prompt": "x", "regex": "a", "choices": ["a"]}, BAD, "exactly one"),
    ("a schema of the wrong kind", S, {"prompt": "x", "json_schema": {"type": "strin"}}, SCHEMA, "type"),
    ("a remote reference", S, {"prompt": "x", "json_schema": {"$ref": "http://x/y"}}, SCHEMA, "$ref"),
    ("a broken pattern", S, {"prompt": "x", "regex": "(("}, SCHEMA, ""),
    ("no choices", S, {"prompt": "x", "choices": []}, SCHEMA, ""),
    ("an unknown task to explain", "explain_route", {"task": "cooking"}, "unknown_task", "reasoning"),
    ("minus one tokens", "explain_route", {"input_tokens": -1}, BAD, "input_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "says"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_bad_input_gets_a_clear_error_and_the_server_goes_on(
    era: str, tool: str, arguments: dict[str, Any], code: str, says: str
) -> None:
    async with connected(era) as (client, house):
        result = await client.call_tool(tool, arguments)
        assert code_of(result) == code
        assert says in text_of(result)
        assert "pydantic" not in text_of(result)
        assert (result.meta or {})["router-mcp/error"]["retryable"] is False
        assert house.gpu.calls == []
        assert not (await client.call_tool("generate", {"prompt": "still there?"})).is_error


async def test_with_nothing_reachable_every_tool_says_what_to_do(era: str) -> None:
    down = ScriptedRuntime(REFUSES)
    async with connected(era, gpu=down, laptop=down) as (client, _):
        failed = await client.call_tool("generate", {"prompt": "hi"})
        assert code_of(failed) == "backend_unavailable"
        assert "Start it." in text_of(failed)
        assert (failed.meta or {})["router-mcp/error"]["retryable"] is True
        assert len((failed.meta or {})["router-mcp/route"]["attempts"]) == 2
        listed = await client.call_tool("list_models", {})
        assert "Start it." in text_of(listed)
        explained = await client.call_tool("explain_route", {})
        assert "Start it." in text_of(explained)


async def test_list_models_tells_state_tasks_and_hardware(era: str) -> None:
    async with connected(era) as (client, _):
        await client.call_tool("generate", {"prompt": "hi"})
        result = await client.call_tool("list_models", {})
    listed = result.structured_content or {}
    assert [model["name"] for model in listed["models"]] == ["big", "other", "small"]
    assert listed["models"][0]["state"] == "healthy"
    assert listed["models"][0]["context_window"] == 32768
    assert listed["default_task"] == "reasoning"


async def test_explain_route_gives_the_plan_with_reasons_and_runs_nothing(era: str) -> None:
    async with connected(era) as (client, house):
        result = await client.call_tool("explain_route", {"task": "short-first", "input_tokens": 5000})
        assert house.gpu.calls == house.laptop.calls == []
    plan = result.structured_content or {}
    assert [step["model"] for step in plan["plan"]] == ["big"]
    assert plan["skipped"][0]["model"] == "small"
    assert "5000" in plan["skipped"][0]["reason"]
    assert "4096" in plan["skipped"][0]["reason"]


async def test_progress_comes_at_most_five_seconds_apart(era: str) -> None:
    reports: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        reports.append((anyio.current_time(), message))

    async with connected(era, gpu=ScriptedRuntime(says("late", after_s=14))) as (client, _):
        began = anyio.current_time()
        await client.call_tool("generate", {"prompt": "hi"}, progress_callback=note)
        ended = anyio.current_time()
    moments = [began, *(moment for moment, _ in reports), ended]
    assert max(later - earlier for earlier, later in pairwise(moments)) <= 5
    assert any("big" in (message or "") for _, message in reports)


async def test_a_caller_in_the_queue_is_told_its_position(era: str) -> None:
    heard: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    async with connected(era, gpu=ScriptedRuntime(says("ok", after_s=6)), concurrency=1) as (client, _):

        async def call() -> None:
            await client.call_tool("generate", {"prompt": "hi"}, progress_callback=note)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            tasks.start_soon(call)
    assert any("position 1" in message for message in heard)


async def test_a_client_that_gives_up_stops_the_runtime(era: str) -> None:
    async with connected(era, gpu=ScriptedRuntime(hangs())) as (client, house):
        with anyio.move_on_after(1):
            await client.call_tool("generate", {"prompt": "hi"})
        await anyio.sleep(0.5)
        assert house.gpu.cancelled == 1


async def test_resources_show_models_policy_and_health(era: str) -> None:
    async with connected(era) as (client, _):
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert listed == {"router://models", "router://policy", "router://health", "ui://router/status"}
        contents = {}
        for uri in listed - {"ui://router/status"}:
            contents[uri] = json.loads((await client.read_resource(uri)).contents[0].text)  # type: ignore[union-attr] # ours are texts
    assert [model["name"] for model in contents["router://models"]] == ["big", "other", "small"]
    assert contents["router://policy"]["defaults"]["temperature"] == 0.7
    assert {each["runtime"] for each in contents["router://health"]} == {"gpu", "laptop"}


async def test_a_reload_changes_the_tasks_on_offer(era: str) -> None:
    async with connected(era) as (client, house):
        policy = make_policy()
        renamed = policy.model_copy(update={"tasks": {"reasoning": policy.tasks["reasoning"]}})
        house.router.adopt(renamed)
        await anyio.sleep(1)
        tools = {tool.name: tool for tool in (await client.list_tools(cache_mode="refresh")).tools}
    assert tools["generate"].input_schema["properties"]["task"]["enum"] == ["reasoning"]


async def test_a_safety_critical_clamp_shows_in_the_result(era: str) -> None:
    async with connected(era) as (client, _):
        result = await client.call_tool("generate", {"prompt": "hi", "task": "triage", "temperature": 1.0})
    assert (result.structured_content or {})["temperature"] == 0.3
    assert any("clamped" in note for note in (result.meta or {})["router-mcp/route"]["notes"])
