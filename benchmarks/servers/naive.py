"""What people write first: tools that post to one URL with httpx. No policy, no fallback, no limits.

`naive.py [PORT]`: stdio, or HTTP on a port.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import httpx
import jsonschema
from mcp.server.mcpserver import MCPServer

server = MCPServer("naive", version="0", log_level="ERROR")
client = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None))
URL = os.environ["UPSTREAM"] + "/v1/chat/completions"


async def ask(prompt: str, **more: Any) -> str:
    """Ask the model."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "temperature": 0.7}
    answer = (await client.post(URL, json=body | more)).json()
    return str(answer["choices"][0]["message"]["content"])


@server.tool()
async def generate(prompt: str) -> str:
    """Generate text."""
    return await ask(prompt)


@server.tool()
async def structured_generate(prompt: str, json_schema: dict[str, Any]) -> dict[str, Any]:
    """Generate data."""
    data = json.loads(await ask(prompt, structured_outputs={"json": json_schema}))
    jsonschema.validate(data, json_schema)
    return dict(data)


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
