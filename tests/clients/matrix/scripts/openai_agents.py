"""The OpenAI Agents SDK. Its default of 5 s for a call is too short for a model of one's own."""

from __future__ import annotations

import anyio
from agents.mcp import MCPServerStdio
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, WAIT_S, report, texts


def flag(result: object, *names: str) -> object:
    return next((getattr(result, name) for name in names if hasattr(result, name)), None)


async def main() -> None:
    params = {"command": COMMAND, "args": ARGS, "env": ENV}
    async with MCPServerStdio(params=params) as impatient:  # connecting and listing must fit into its 5 s
        tools = [tool.name for tool in await impatient.list_tools()]
    async with MCPServerStdio(
        params=params, client_session_timeout_seconds=WAIT_S, use_structured_content=True
    ) as server:
        answer = await server.call_tool("generate", GENERATE)
        structured = await server.call_tool("structured_generate", STRUCTURED)
        refused = await server.call_tool("generate", BAD)
        again = await server.call_tool("generate", GENERATE)
        report(
            "openai-agents",
            tools=tools,
            text=texts(answer.content),
            data=flag(structured, "structured_content", "structuredContent")["data"],
            error=texts(refused.content) if flag(refused, "is_error", "isError") else None,
            again=texts(again.content),
        )


anyio.run(main)
