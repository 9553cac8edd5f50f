"""The MCP face of the embedder: tools, results, serving. Only here is `mcp` imported (and in `cli.demo`)."""
