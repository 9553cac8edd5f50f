"""Microsoft's Agent Framework."""

from __future__ import annotations

import json
from typing import Any

import anyio
from agent_framework import MCPStdioTool
from plan import ARGS, BAD, COMMAND, ENV, GENERATE, STRUCTURED, report


def value_of(result: Any) -> dict[str, Any]:
    """Return the object behind what a model would be shown."""
    parts = result if isinstance(result, list) else [result]
    said = "".join(part if isinstance(part, str) else getattr(part, "text", None) or "" for part in parts)
    return dict(json.loads(said))


async def main() -> None:
    async with MCPStdioTool(name="router", command=COMMAND, args=ARGS, env=ENV) as router:
        tools = [function.name for function in router.functions]
        answer = value_of(await router.call_tool("generate", **GENERATE))
        structured = value_of(await router.call_tool("structured_generate", **STRUCTURED))
        try:
            await router.call_tool("generate", **BAD)
            error = None
        except Exception as refused:  # noqa: BLE001 - its class is the framework's own business
            error = str(refused)
        again = value_of(await router.call_tool("generate", **GENERATE))
    report(
        "agent-framework-core",
        tools=tools,
        text=answer["text"],
        data=structured["data"],
        error=error,
        again=again["text"],
    )


anyio.run(main)
