"""`python -m embeddings_mcp` and the `embeddings-mcp` command."""

from __future__ import annotations

from embeddings_mcp.cli.app import main

if __name__ == "__main__":
    main()
