"""What one client saw of the server, and whether it is what a user needs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from router_mcp.config import profile_path
from tests.clients.npm import user_cache

TOOLS = {"generate", "structured_generate", "list_models", "explain_route"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 30}, "capital": {"type": "boolean"}},
    "required": ["city", "capital"],
    "additionalProperties": False,
}
GENERATE = {"prompt": "What is the capital of France? One word.", "temperature": 0, "max_output_tokens": 12}
STRUCTURED = {"prompt": "Is Rome a capital? Answer as data.", "json_schema": SCHEMA, "temperature": 0}
BAD = {"prompt": "hi", "task": "cooking"}
SERVER = [sys.executable, "-m", "router_mcp", "serve", "--config", str(profile_path("embedded"))]


def server_env() -> dict[str, str]:
    """Return what the server needs of the environment: clients hand on little of theirs."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(Path.home()),
        "ROUTER_MCP_CACHE": str(user_cache().parent),
    }


def plan() -> dict[str, Any]:
    """Return what every client is told to do."""
    calls = {"generate": GENERATE, "structured": STRUCTURED, "bad": BAD}
    return {"command": SERVER[0], "args": SERVER[1:], "env": server_env(), **calls}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a client said of its run; `None` is what it cannot or did not do."""

    version: str
    tools: list[str] = field(default_factory=list)
    text: str | None = None
    data: Any = None
    error: str | None = None
    again: str | None = None
    protocol: str | None = None

    def lists(self) -> bool:
        """All tools are there, perhaps under a prefix."""
        return all(any(name == tool or name.endswith(f"_{tool}") for name in self.tools) for tool in TOOLS)

    def generates(self) -> bool:
        """A model answered, and the client handed its words over."""
        return "Paris" in (self.text or "")

    def reads_data(self) -> bool:
        """The client got the data of a structured call, and it is what was asked for."""
        return self.data is not None and Draft202012Validator(SCHEMA).is_valid(self.data)

    def goes_on(self) -> bool:
        """An error's sentence came through, and the next call worked."""
        return "cooking" in (self.error or "") and "reasoning" in (self.error or "") and "Paris" in (self.again or "")
