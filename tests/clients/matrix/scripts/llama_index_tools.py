"""LlamaIndex's MCP tools, which start a server process for every call."""

from __future__ import annotations

from typing import Any

import anyio
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, WAIT_S, report, texts


def flag(result: Any, *names: str) -> Any:
    return next((getattr(result, name) for name in names if hasattr(result, name)), None)


async def main() -> None:
    impatient = BasicMCPClient(COMMAND, args=ARGS, env=ENV)  # listing must fit into its 30 s
    listed = [tool.metadata.name for tool in await McpToolSpec(client=impatient).to_tool_list_async()]
    client = BasicMCPClient(COMMAND, args=ARGS, env=ENV, timeout=WAIT_S)
    tools = {tool.metadata.name: tool for tool in await McpToolSpec(client=client).to_tool_list_async()}
    answer = (await tools["generate"].acall(**GENERATE)).raw_output
    structured = (await tools["structured_generate"].acall(**STRUCTURED)).raw_output
    refused = (await tools["generate"].acall(**BAD)).raw_output
    again = (await tools["generate"].acall(**GENERATE)).raw_output
    report(
        "llama-index-tools-mcp",
        tools=listed,
        text=texts(answer.content),
        data=flag(structured, "structured_content", "structuredContent")["data"],
        error=texts(refused.content) if flag(refused, "is_error", "isError") else None,
        again=texts(again.content),
    )


anyio.run(main)
