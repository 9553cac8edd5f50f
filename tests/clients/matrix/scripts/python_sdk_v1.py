"""The Python SDK, version 1."""

from __future__ import annotations

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report, texts


async def main() -> None:
    server = StdioServerParameters(command=COMMAND, args=ARGS, env=ENV)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        begun = await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        answer = await session.call_tool("generate", GENERATE)
        structured = await session.call_tool("structured_generate", STRUCTURED)
        refused = await session.call_tool("generate", BAD)
        again = await session.call_tool("generate", GENERATE)
        report(
            "mcp",
            protocol=begun.protocolVersion,
            tools=tools,
            text=texts(answer.content),
            data=structured.structuredContent["data"],
            error=texts(refused.content) if refused.isError else None,
            again=texts(again.content),
        )


anyio.run(main)
