"""The MCP Inspector's command line, installed into the user's cache by package name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.clients.npm import NodeFolder, Said, installed

PACKAGE = "@modelcontextprotocol/inspector@2.12.0"


@dataclass(frozen=True)
class Inspector:
    """An installed Inspector."""

    node: NodeFolder

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Said:
        """Run `mcp-inspector --cli` with these arguments, each run a client process and a session of its own."""
        own = {"MCP_INSPECTOR_SECRET_STORE": "memory", **(env or {})}
        return self.node.run(self.node.program("mcp-inspector"), "--cli", *arguments, env=own)


def install_inspector() -> Inspector:
    """Return the Inspector, installing it first when the cache does not have it."""
    return Inspector(installed([PACKAGE]))


def answer(said: Said) -> dict[str, Any]:
    """Return the result that a run printed as JSON, without what stands around it."""
    found = json.loads(said.stdout[said.stdout.index("{") :])
    result: dict[str, Any] = found.get("result", found)
    return result
