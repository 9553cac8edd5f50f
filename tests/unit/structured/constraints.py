"""Short ways to ask the structured core something."""

from __future__ import annotations

import json
from typing import Any

from router_mcp.domain import Constraint, Grammar, JsonSchema, RuntimeKind
from router_mcp.errors import OutputInvalidError
from router_mcp.structured import Compiled, Prepared, Preparer, check, compile_for


def prepared(constraint: Constraint | dict[str, Any]) -> Prepared:
    return Preparer().prepare(JsonSchema(constraint) if isinstance(constraint, dict) else constraint)


def answer(constraint: Constraint | dict[str, Any], text: str, finish_reason: str = "stop") -> Any:
    """What the caller gets for this text, when the runtime was asked for the constraint as it is."""
    ready = prepared(constraint)
    return check(ready, Compiled(ready.constraint), text, finish_reason)


def fault(constraint: Constraint | dict[str, Any], text: str, finish_reason: str = "stop") -> OutputInvalidError:
    """What is wrong with this text."""
    try:
        got = answer(constraint, text, finish_reason)
    except OutputInvalidError as error:
        return error
    raise AssertionError(f"accepted as {got!r}")


def sent(kind: RuntimeKind, schema: dict[str, Any], *, plain: bool = False) -> dict[str, Any]:
    """The schema that a runtime of this kind is sent, without llguidance's options."""
    constraint = compile_for(kind, prepared(schema), plain=plain).constraint
    if isinstance(constraint, Grammar):
        found: dict[str, Any] = json.loads(constraint.text.partition("%json ")[2])
    else:
        assert isinstance(constraint, JsonSchema)
        found = dict(constraint.schema)
    found.pop("x-guidance", None)
    return found
