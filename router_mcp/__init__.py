"""Router MCP as a library.

    async with open_router(load_config(default_path())) as router:
        result = await router.generate(GenerateRequest(prompt="Say hello.", task="reasoning"))

Names are imported when they are first used, so that `router_mcp.config` alone starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_mcp.config import PolicyFile, default_path, load_config, profile_path
    from router_mcp.domain import Choices, GenerateRequest, GenerateResult, Grammar, JsonSchema, Message, Receipt, Regex
    from router_mcp.errors import RouterError
    from router_mcp.follow import Follower
    from router_mcp.prober import Prober
    from router_mcp.router import Router
    from router_mcp.stream import Attention
    from router_mcp.typed import TypedResult
    from router_mcp.wiring import open_router

__version__ = "0.1.0"
__all__ = [
    "Attention",
    "Choices",
    "Follower",
    "GenerateRequest",
    "GenerateResult",
    "Grammar",
    "JsonSchema",
    "Message",
    "PolicyFile",
    "Prober",
    "Receipt",
    "Regex",
    "Router",
    "RouterError",
    "TypedResult",
    "default_path",
    "load_config",
    "open_router",
    "profile_path",
]

_HOMES = {
    "config": ("PolicyFile", "default_path", "load_config", "profile_path"),
    "domain": ("Choices", "GenerateRequest", "GenerateResult", "Grammar", "JsonSchema", "Message", "Receipt", "Regex"),
    "errors": ("RouterError",),
    "follow": ("Follower",),
    "prober": ("Prober",),
    "router": ("Router",),
    "stream": ("Attention",),
    "typed": ("TypedResult",),
    "wiring": ("open_router",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"router_mcp.{home}"), name)
    raise AttributeError(f"module 'router_mcp' has no attribute {name!r}")
