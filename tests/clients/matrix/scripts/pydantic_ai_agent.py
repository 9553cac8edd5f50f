"""Pydantic AI: whole agents, one on its TestModel and one whose model makes the planned calls."""

from __future__ import annotations

from typing import Any

import anyio
from fastmcp.client.transports import StdioTransport
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

STEPS = (("generate", GENERATE), ("structured_generate", STRUCTURED), ("generate", BAD), ("generate", GENERATE))


def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that makes the planned calls one after another."""
    done = sum(isinstance(message, ModelResponse) for message in messages)
    if done == len(STEPS):
        return ModelResponse(parts=[TextPart("done")])
    name, arguments = STEPS[done]
    return ModelResponse(parts=[ToolCallPart(name, arguments)])


async def main() -> None:
    toolset = MCPToolset(StdioTransport(COMMAND, ARGS, env=ENV))
    seen = TestModel(call_tools=["list_models"])
    first = Agent(seen, toolsets=[toolset])
    async with first:
        await first.run("Which models are there?")
        tools = [tool.name for tool in seen.last_model_request_parameters.function_tools]
        run = await Agent(FunctionModel(play), toolsets=[toolset], retries=3).run("Go.")
    parts: list[Any] = [part for message in run.all_messages() for part in message.parts]
    answer, structured, refused, again = (
        part.content for part in parts if isinstance(part, ToolReturnPart | RetryPromptPart)
    )
    report(
        "pydantic-ai-slim",
        tools=tools,
        text=answer["text"],
        data=structured["data"],
        error=refused if isinstance(refused, str) else None,
        again=again["text"],
    )


anyio.run(main)
