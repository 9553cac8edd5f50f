"""The chat request that Ollama gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from router_mcp.domain import JsonSchema
from router_mcp.errors import UnsupportedConstraintError

if TYPE_CHECKING:
    from router_mcp.domain import Call

ANY_JSON = {"type": ["object", "array", "string", "number", "boolean", "null"]}


def request_body(call: Call, keep_alive: str | int | None) -> bytes:
    """Return the chat request of a call, as JSON.

    `num_ctx` and `shift` are the same for every call of a model, because a change of either restarts its runner
    (#16); with `truncate`, they make a prompt that does not fit an error instead of a shorter prompt (#6).
    `stop` never goes with a constraint, because it cuts JSON and calls that a good end.
    """
    options: dict[str, Any] = {
        "num_ctx": call.context_window,
        "num_predict": max(1, call.max_output_tokens),  # zero means no limit (#17)
        "temperature": call.temperature,
    }
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        "stream": True,
        "shift": False,
        "truncate": False,
        "options": options,
    }
    if call.seed is not None:
        options["seed"] = call.seed
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    if call.constraint is not None:
        body["format"] = _format(call)
    elif call.stop:
        options["stop"] = list(call.stop)
    # A lone surrogate is no character, so Ollama would replace it too. A schema's integers may be of any size.
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _format(call: Call) -> dict[str, Any]:
    if not isinstance(call.constraint, JsonSchema):
        kind = type(call.constraint).__name__.lower()
        message = f"{call.endpoint} takes constraints as JSON schemas only, and this one is a {kind}."
        raise UnsupportedConstraintError(f"{message} Use a schema, or a model on another runtime.")
    return call.constraint.schema or ANY_JSON  # an empty schema is not enforced, and neither is "json" (#3)
