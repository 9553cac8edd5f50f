"""Adapters: one file a runtime, all behind `router_mcp.runtimes.base.Runtime`."""
