"""Google's Agent Development Kit. Its default of 5 s for a call is too short for a model of one's own."""

from __future__ import annotations

from typing import Any

import anyio
from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
from google.adk.tools.mcp_tool.mcp_toolset import McpToolset
from mcp import StdioServerParameters
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, WAIT_S, report


def either(result: dict[str, Any], *names: str) -> Any:
    return next((result[name] for name in names if name in result), None)


def text_of(result: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in result["content"])


async def main() -> None:
    server = StdioServerParameters(command=COMMAND, args=ARGS, env=ENV)
    impatient = McpToolset(connection_params=StdioConnectionParams(server_params=server))
    listed = [tool.name for tool in await impatient.get_tools()]  # within its 5 s
    await impatient.close()
    toolset = McpToolset(connection_params=StdioConnectionParams(server_params=server, timeout=WAIT_S))
    tools = {tool.name: tool for tool in await toolset.get_tools()}
    answer = await tools["generate"].run_async(args=GENERATE, tool_context=None)
    structured = await tools["structured_generate"].run_async(args=STRUCTURED, tool_context=None)
    refused = await tools["generate"].run_async(args=BAD, tool_context=None)
    again = await tools["generate"].run_async(args=GENERATE, tool_context=None)
    await toolset.close()
    report(
        "google-adk",
        tools=listed,
        text=text_of(answer),
        data=either(structured, "structuredContent", "structured_content")["data"],
        error=text_of(refused) if either(refused, "isError", "is_error") else None,
        again=text_of(again),
    )


anyio.run(main)
