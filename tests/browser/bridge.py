"""The host side of MCP Apps, from the makers of the extension: `AppBridge` of `@modelcontextprotocol/ext-apps`."""

from __future__ import annotations

from pathlib import Path

from tests.clients.npm import installed

PACKAGES = ("@modelcontextprotocol/ext-apps@1.7.5", "@modelcontextprotocol/sdk@1.29.0", "zod@4.1.12", "esbuild@0.25.12")
ENTRY = 'export { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";\n'


def bundle() -> Path:
    """Return it bundled for a browser, as `window.McpApps`; made first when the cache does not have it."""
    node = installed(PACKAGES)
    made = node.folder / "bridge.js"
    if not made.exists():
        (node.folder / "entry.js").write_text(ENTRY)
        options = ("--bundle", "--format=iife", "--global-name=McpApps", "--outfile=bridge.tmp.js")
        said = node.run(node.program("esbuild"), "entry.js", *options)
        assert said.status == 0, said.stderr
        (node.folder / "bridge.tmp.js").replace(made)
    return made
