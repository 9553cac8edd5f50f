"""AutoGen's workbench, which shows a model the text only."""

from __future__ import annotations

import json
from typing import Any

import anyio
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, WAIT_S, report


def text_of(result: Any) -> str:
    return "".join(part.content for part in result.result)


async def main() -> None:
    server = StdioServerParams(command=COMMAND, args=ARGS, env=ENV, read_timeout_seconds=WAIT_S)
    async with McpWorkbench(server) as workbench:
        tools = [tool["name"] for tool in await workbench.list_tools()]
        answer = await workbench.call_tool("generate", GENERATE)
        structured = await workbench.call_tool("structured_generate", STRUCTURED)
        refused = await workbench.call_tool("generate", BAD)
        again = await workbench.call_tool("generate", GENERATE)
    report(
        "autogen-ext",
        tools=tools,
        text=text_of(answer),
        data=json.loads(text_of(structured)),
        error=text_of(refused) if refused.is_error else None,
        again=text_of(again),
    )


anyio.run(main)
