"""How a receipt looks on the wire: the value of `_meta["router-mcp/route"]` (CONTRACT §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from router_mcp.domain import Receipt
from router_mcp.edge.trace import current_trace_id

if TYPE_CHECKING:
    from router_mcp.domain import Attempt


def route_meta(receipt: Receipt) -> dict[str, Any]:
    """Return the JSON form of a receipt; seconds to the millisecond, and always the same keys."""
    return {
        "request_id": receipt.request_id,
        "task": receipt.task,
        "attempts": [_attempt(attempt) for attempt in receipt.attempts],
        "deadline_s": _ms(receipt.deadline_s),
        "seconds": _ms(receipt.seconds),
        "queue_wait_s": _ms(receipt.queue_wait_s),
        "time_to_first_token_s": None if receipt.time_to_first_token_s is None else _ms(receipt.time_to_first_token_s),
        "trace_id": receipt.trace_id,
        "notes": list(receipt.notes),
    }


def unrouted() -> Receipt:
    """Return the receipt of a call that asked no model: a listing, or arguments that were refused."""
    return Receipt(request_id=uuid4().hex, task="", deadline_s=0.0, trace_id=current_trace_id())


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "model": attempt.model,
        "runtime": attempt.runtime,
        "endpoint": attempt.endpoint,
        "outcome": attempt.outcome,
        "seconds": _ms(attempt.seconds),
    }


def _ms(seconds: float) -> float:
    return round(seconds, 3)
