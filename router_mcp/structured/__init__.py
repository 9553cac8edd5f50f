"""Answers of a promised shape: preflight of the constraint, compilation for a runtime, check, repair. No I/O."""

from router_mcp.structured.check import check
from router_mcp.structured.compile import Compiled, compile_for
from router_mcp.structured.degeneration import Degeneration
from router_mcp.structured.instructions import instructions
from router_mcp.structured.prepared import Prepared, Preparer
from router_mcp.structured.repair import repair_messages

__all__ = [
    "Compiled",
    "Degeneration",
    "Prepared",
    "Preparer",
    "check",
    "compile_for",
    "instructions",
    "repair_messages",
]
