"""What people write first: one tool that posts to one URL with httpx. No policy, no fallback, no limits."""

from __future__ import annotations

import os

import httpx
from mcp.server.mcpserver import MCPServer

server = MCPServer("naive", version="0", log_level="ERROR")
client = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None))
URL = os.environ["UPSTREAM"] + "/v1/chat/completions"


@server.tool()
async def generate(prompt: str) -> str:
    """Ask the model."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "temperature": 0.7}
    answer = (await client.post(URL, json=body)).json()
    return str(answer["choices"][0]["message"]["content"])


if __name__ == "__main__":
    server.run()
