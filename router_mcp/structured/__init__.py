"""Answers of a promised shape: preflight of the constraint, compilation for a runtime, check, repair. No I/O.

Names are imported when they are first used: a process that never sees a constraint is spared 0.1 s and 8 MB of
schema, grammar and pattern engines. So no module here may be called like one of these names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_mcp.structured.answers import check
    from router_mcp.structured.briefing import instructions
    from router_mcp.structured.compile import Compiled, compile_for
    from router_mcp.structured.degeneration import Degeneration
    from router_mcp.structured.prepared import Prepared, Preparer
    from router_mcp.structured.repair import repair_messages
    from router_mcp.structured.room import instruction_tokens, room_of

__all__ = [
    "Compiled",
    "Degeneration",
    "Prepared",
    "Preparer",
    "check",
    "compile_for",
    "instruction_tokens",
    "instructions",
    "repair_messages",
    "room_of",
]

_HOMES = {
    "answers": ("check",),
    "compile": ("Compiled", "compile_for"),
    "degeneration": ("Degeneration",),
    "prepared": ("Prepared", "Preparer"),
    "repair": ("repair_messages",),
    "room": ("instruction_tokens", "room_of"),
    "briefing": ("instructions",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
