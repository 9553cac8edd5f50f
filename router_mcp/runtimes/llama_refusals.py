"""What a refusal of llama.cpp means. Its text is never passed on: it repeats the caller's and names files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router_mcp.errors import AttemptError, ContextTooLongError, UnsupportedConstraintError
from router_mcp.runtimes.wire import Headers, status_error

if TYPE_CHECKING:
    from router_mcp.domain import Call


def refusal(call: Call, status: int, headers: Headers, body: object) -> AttemptError:
    """Return what llama.cpp's answer to `call` means; `body` is its parsed JSON, or `None`."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
        return _too_long(call, error.get("n_prompt_tokens"), error.get("n_ctx"))
    if call.constraint is not None and status in {400, 500}:
        # A grammar that it cannot parse, a $ref that it cannot resolve: it says so in prose only.
        return UnsupportedConstraintError(
            f"{call.endpoint} cannot enforce this constraint. Simplify it, or use another model."
        )
    return status_error(call.endpoint, status, headers)


def _too_long(call: Call, prompt: object, window: object) -> ContextTooLongError:
    # The server's own window is smaller than the catalog's when the model was made for less.
    size = window if isinstance(window, int) else call.context_window
    has = f", and the prompt has {prompt}" if isinstance(prompt, int) else ""
    return ContextTooLongError(
        f"{call.endpoint} has a context window of {size} tokens{has}. Shorten the prompt, or use another model."
    )
