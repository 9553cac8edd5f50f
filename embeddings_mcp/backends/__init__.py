"""Adapters: one file a backend, all behind `embeddings_mcp.backends.base.Backend`."""
