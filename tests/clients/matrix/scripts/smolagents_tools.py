"""smolagents, which hands over structured content, and an error's text as a plain value."""

from __future__ import annotations

from mcp import StdioServerParameters
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report
from smolagents import ToolCollection

server = StdioServerParameters(command=COMMAND, args=ARGS, env=ENV)
with ToolCollection.from_mcp(server, trust_remote_code=True, structured_output=True) as collection:
    tools = {tool.name: tool for tool in collection.tools}
    answer = tools["generate"](**GENERATE)
    structured = tools["structured_generate"](**STRUCTURED)
    refused = tools["generate"](**BAD)
    again = tools["generate"](**GENERATE)
report(
    "smolagents",
    tools=list(tools),
    text=answer["text"],
    data=structured["data"],
    error=refused if isinstance(refused, str) else None,
    again=again["text"],
)
