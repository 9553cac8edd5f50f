"""Arguments are taken literally, and every failure reads well; the same in both protocol eras."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult

from router_mcp.edge.arguments import strict_tool
from tests.edge.demo import Said, make_server, make_tools, said

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


async def call(mode: Any, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    async with Client(make_server(), mode=mode) as client:
        return await client.call_tool(tool, arguments)


async def heard(mode: Any, **arguments: Any) -> dict[str, Any]:
    result = await call(mode, "echo", {"prompt": "x", **arguments})
    assert not result.is_error
    found: dict[str, Any] = result.structured_content["heard"]
    return found


async def refusal(mode: Any, **arguments: Any) -> str:
    result = await call(mode, "echo", {"prompt": "x", **arguments})
    assert result.is_error
    assert result.structured_content is None
    assert result.meta is not None
    assert result.meta["router-mcp/error"] == {"code": "invalid_arguments", "retryable": False}
    assert result.content[0].type == "text"
    return result.content[0].text


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "null", "1", "true", '"quoted"', " ", "a\x00b\x1b[2J", "ü😀"])
async def test_text_that_looks_like_json_or_worse_arrives_untouched(mode: Any, text: str) -> None:
    result = await call(mode, "echo", {"prompt": text, "system": text})
    assert result.content[0].type == "text"
    assert result.content[0].text == text
    assert result.structured_content is not None
    assert result.structured_content["heard"]["system"] == text


async def test_arrays_and_objects_that_come_as_json_text_are_decoded(mode: Any) -> None:
    """Claude Desktop sends them so."""
    found = await heard(mode, history='[{"role": "user", "content": "1"}]', options='{"a": "[1]"}')
    assert found["history"] == [{"role": "user", "content": "1"}]
    assert found["options"] == {"a": "[1]"}


async def test_a_null_for_an_optional_argument_means_its_default(mode: Any) -> None:
    found = await heard(mode, system=None, encoding=None, temperature=None)
    assert (found["system"], found["encoding"], found["temperature"]) == (None, "float", None)


async def test_a_whole_number_with_a_decimal_point_is_an_integer(mode: Any) -> None:
    """JSON Schema says so, and JavaScript cannot tell them apart."""
    assert (await heard(mode, seed=3.0))["seed"] == 3


async def test_an_unknown_argument_is_refused_with_the_nearest_name_and_the_list(mode: Any) -> None:
    text = await refusal(mode, temprature=1)
    assert text.startswith("Invalid arguments for echo: temprature: unknown argument, did you mean 'temperature'?")
    assert text.endswith("It takes: prompt, system, history, options, temperature, seed, task, encoding.")


async def test_an_unknown_argument_near_to_nothing_is_refused_without_a_guess(mode: Any) -> None:
    assert "zzz: unknown argument. It takes: prompt" in await refusal(mode, zzz=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": 7}, "prompt: must be a valid string."),
        ({"prompt": None}, "prompt: must be a valid string."),
        ({"prompt": ""}, "prompt: must have at least 1 character."),
        ({"temperature": "hot"}, "temperature: must be a valid number."),
        ({"temperature": "0.5"}, "temperature: must be a valid number."),
        ({"temperature": True}, "temperature: must be a valid number."),
        ({"temperature": 3}, "temperature: must be less than or equal to 2."),
        ({"seed": 1.5}, "seed: must be a valid integer."),
        ({"history": "hello"}, "history: must be a valid list."),
        ({"history": '{"role": "user"}'}, "history: must be a valid list."),
        ({"history": "[" * 100_000}, "history: must be a valid list."),
        ({"history": [{"role": "tool", "content": ""}]}, "history.0.role: must be 'user' or 'assistant'."),
        ({"history": [{"role": "user", "content": "", "x": 1}]}, "history.0.x: unknown here; leave it out."),
        ({"history": [{"role": "user"}]}, "history.0.content: this argument is required."),
        ({"encoding": "hex"}, "encoding: must be 'float' or 'base64'."),
    ],
    ids=str,
)
async def test_a_wrong_value_is_refused_in_words_that_name_the_place(mode: Any, arguments: Any, said: str) -> None:
    text = await refusal(mode, **arguments)
    assert said in text
    assert "pydantic" not in text
    assert "http" not in text


async def test_a_missing_argument_is_named(mode: Any) -> None:
    result = await call(mode, "echo", {})
    assert result.content[0].type == "text"
    assert result.content[0].text == "Invalid arguments for echo: prompt: this argument is required."


async def test_a_flood_of_problems_is_told_in_a_few(mode: Any) -> None:
    text = await refusal(mode, history=[1] * 2000)
    assert "history.4:" in text
    assert "history.5:" not in text
    assert text.endswith("And 1995 more.")


async def test_a_long_and_hostile_argument_name_is_shown_short_and_on_one_line(mode: Any) -> None:
    text = await refusal(mode, **{"a\n\x1b[31m" + "b" * 5000: 1})
    assert len(text) < 300
    assert text.isprintable()


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"prompt": "\ud83d"}, "prompt: holds half of a surrogate pair"),
        ({"options": {"a": ["\udc00"]}}, "options.a[0]: holds half of a surrogate pair"),
        ({"options": {"\ud800": 1}}, "options (a key): holds half of a surrogate pair"),
        ({"temperature": math.nan}, "temperature: NaN and Infinity"),
        ({"options": '{"a": -Infinity}'}, "options.a: NaN and Infinity"),
        ({"\ud800": 1}, "\ufffd: unknown argument"),
    ],
    ids=ascii,
)
async def test_what_json_cannot_carry_is_refused_with_its_place(arguments: dict[str, Any], place: str) -> None:
    """Straight to the server: a client of ours would not send it, one of theirs might."""
    result = await make_server().call_tool("echo", {"prompt": "x", **arguments})
    assert isinstance(result, CallToolResult)
    assert result.is_error
    assert result.content[0].type == "text"
    assert place in result.content[0].text
    assert result.model_dump_json()


async def test_a_value_nested_deeper_than_the_stack_is_no_trouble() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    result = await make_server().call_tool("echo", {"prompt": "x", "encoding": deep})
    assert isinstance(result, CallToolResult)
    assert result.is_error


async def test_anticipated_errors_come_back_with_code_and_retry_hint(mode: Any) -> None:
    result = await call(mode, "fail", {"how": "busy"})
    assert result.is_error
    assert result.structured_content is None
    assert result.content[0].type == "text"
    assert result.content[0].text == "Everything is full. Try again in 2 s."
    assert result.meta is not None
    assert result.meta["router-mcp/error"] == {"code": "busy", "retryable": True, "retry_after_s": 2.0}
    assert result.meta["router-mcp/route"]["attempts"] == [], "no model was asked, and every result has a receipt"


async def test_every_result_has_a_receipt(mode: Any) -> None:
    for tool, arguments in (("echo", {"prompt": "x"}), ("echo", {}), ("echo", {"promt": "x"})):
        result = await call(mode, tool, arguments)
        assert result.meta is not None
        route = result.meta["router-mcp/route"]
        assert (route["attempts"], route["queue_wait_s"], route["trace_id"]) == ([], 0.0, None)
        assert len(route["request_id"]) == 32


async def test_an_error_of_a_call_that_got_somewhere_carries_its_receipt(mode: Any) -> None:
    result = await call(mode, "fail", {"how": "unknown"})
    assert result.meta is not None
    assert result.meta["router-mcp/error"]["code"] == "unknown_task"
    assert result.meta["router-mcp/route"] == {
        "request_id": "r-1",
        "task": "chat",
        "attempts": [{"model": "m", "runtime": "vllm", "endpoint": "http://a", "outcome": "ok", "seconds": 1.235}],
        "deadline_s": 30.0,
        "seconds": 1.235,
        "queue_wait_s": 0.0,
        "time_to_first_token_s": None,
        "trace_id": None,
        "notes": ["temperature clamped"],
    }


async def test_a_crash_is_masked_for_the_caller_and_logged_for_the_operator(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    result = await call(mode, "fail", {"how": "crash"})
    assert result.is_error
    assert result.content[0].type == "text"
    assert result.content[0].text == "Error executing tool fail"
    assert "the password is 1234" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_refusal_is_logged_without_what_was_said(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await refusal(mode, prompt=["my secret"])
    assert "tool echo: invalid_arguments" in caplog.text
    assert "my secret" not in caplog.text


async def test_the_other_server_marks_its_errors_with_its_own_name() -> None:
    async def embed(text: str) -> Annotated[CallToolResult, Said]:
        """Embed."""
        return said(text)

    server = MCPServer("embeddings", tools=[strict_tool(embed, error_key="embeddings-mcp/error")])
    result = await server.call_tool("embed", {})
    assert isinstance(result, CallToolResult)
    assert result.meta is not None
    assert set(result.meta) == {"embeddings-mcp/error", "embeddings-mcp/route"}
    assert result.meta["embeddings-mcp/error"] == {"code": "invalid_arguments", "retryable": False}


async def test_published_schemas_are_flat_and_closed(mode: Any) -> None:
    async with Client(make_server(), mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools["echo"].input_schema == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "minLength": 1, "description": "What to say."},
            "system": {"type": "string"},
            "history": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "role": {"type": "string", "enum": ["user", "assistant"]},
                        "content": {"type": "string"},
                    },
                    "required": ["role", "content"],
                    "additionalProperties": False,
                },
            },
            "options": {"type": "object", "additionalProperties": True},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "seed": {"type": "integer"},
            "task": {"type": "string"},
            "encoding": {"type": "string", "enum": ["float", "base64"], "default": "float"},
        },
        "required": ["prompt"],
        "additionalProperties": False,
    }
    output = tools["echo"].output_schema
    assert output is not None
    assert output["type"] == "object"
    assert "$" not in str(output)
    assert tools["chatter"].input_schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())


async def test_an_offered_enum_is_published_and_replaced_but_never_enforced(mode: Any) -> None:
    """A task that was in the policy yesterday must reach the tool, which answers `unknown_task`."""
    tool = make_tools()[0]
    server = MCPServer("demo", tools=[tool])
    tool.offer("task", ["chat", "code"], default="chat")
    async with Client(server, mode=mode) as client:
        listed = (await client.list_tools()).tools[0]
        assert listed.input_schema["properties"]["task"] == {
            "type": "string",
            "enum": ["chat", "code"],
            "default": "chat",
        }
        tool.offer("task", ["chat"])
        listed = (await client.list_tools(cache_mode="refresh")).tools[0]
        assert listed.input_schema["properties"]["task"] == {"type": "string", "enum": ["chat"]}
        result = await client.call_tool("echo", {"prompt": "x", "task": "code"})
    assert result.structured_content is not None
    assert result.structured_content["heard"]["task"] == "code"


async def test_a_plain_function_is_no_tool() -> None:
    def blocking() -> None:
        """Block."""

    with pytest.raises(TypeError, match="must be async"):
        strict_tool(blocking)


async def test_a_parameter_of_two_types_is_no_tool() -> None:
    async def vague(value: str | int) -> None:
        """Guess."""

    with pytest.raises(ValueError, match=r"vague: clients may refuse its schema: properties\.value: anyOf"):
        strict_tool(vague)
