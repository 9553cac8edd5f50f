"""LangChain's MCP adapters, with one server process for the session."""

from __future__ import annotations

from typing import Any

import anyio
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report


def text_of(message: Any) -> str:
    content = message.content
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


async def main() -> None:
    server = {"transport": "stdio", "command": COMMAND, "args": ARGS, "env": ENV}
    async with MultiServerMCPClient({"router": server}).session("router") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(name: str, arguments: dict[str, Any]) -> Any:
            return await tools[name].ainvoke({"type": "tool_call", "id": "1", "name": name, "args": arguments})

        answer = await call("generate", GENERATE)
        structured = await call("structured_generate", STRUCTURED)
        refused = await call("generate", BAD)
        again = await call("generate", GENERATE)
        report(
            "langchain-mcp-adapters",
            tools=list(tools),
            text=text_of(answer),
            data=structured.artifact["structured_content"]["data"],
            error=text_of(refused) if refused.status == "error" else None,
            again=text_of(again),
        )


anyio.run(main)
