"""FastMCP's client."""

from __future__ import annotations

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report


async def main() -> None:
    async with Client(StdioTransport(COMMAND, ARGS, env=ENV)) as client:
        tools = [tool.name for tool in await client.list_tools()]
        answer = await client.call_tool("generate", GENERATE)
        structured = await client.call_tool("structured_generate", STRUCTURED)
        try:
            await client.call_tool("generate", BAD)
            error = None
        except ToolError as refused:
            error = str(refused)
        again = await client.call_tool("generate", GENERATE)
        report(
            "fastmcp",
            tools=tools,
            text=answer.structured_content["text"],
            data=structured.structured_content["data"],
            error=error,
            again=again.structured_content["text"],
        )


anyio.run(main)
