"""One line in the log for each call: the receipt's facts, never a prompt, an answer, a tenant or a secret."""

from __future__ import annotations

import logging
from typing import Any

from router_mcp.telemetry.base import Answered, AttemptStarted, CallEnded, Cancelled, Event, Refused

_log = logging.getLogger("router_mcp.calls")
_ENDED = (Answered, Refused, Cancelled)


class CallLog:
    """Telemetry that writes a line when a call ends: as fields in JSON logs, and readable in text ones."""

    def started(self, event: AttemptStarted) -> str | None:
        """Nothing is written before a call has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Write the line of a call that ended."""
        if isinstance(event, _ENDED) and _log.isEnabledFor(logging.INFO):
            fields = call_fields(event)
            words = " ".join([f"{key}={value}" for key, value in fields.items() if key != "attempts"])
            _log.info("call %s attempts=%s", words, _attempts(event), extra=fields)


def call_fields(event: CallEnded) -> dict[str, Any]:
    """Return the fields of a call's line; what is not known is left out."""
    receipt = event.receipt
    result = event.result if isinstance(event, Answered) else None
    fields: dict[str, Any] = {
        "request_id": receipt.request_id,
        "task": receipt.task,
        "outcome": event.outcome,
        "model": result.model if result else None,
        "runtime": result.runtime if result else None,
        "seconds": round(receipt.seconds, 3),
        "queue_wait_s": round(receipt.queue_wait_s, 3),
        "time_to_first_token_s": receipt.time_to_first_token_s,
        "input_tokens": result.usage.input_tokens if result else None,
        "output_tokens": result.usage.output_tokens if result else None,
        "finish_reason": result.finish_reason if result else None,
        "fallback_from": list(result.fallback_from) or None if result else None,
        "trace_id": receipt.trace_id,
        "attempts": [
            {"model": each.model, "runtime": each.runtime, "outcome": each.outcome, "seconds": round(each.seconds, 3)}
            for each in receipt.attempts
        ],
    }
    return {key: value for key, value in fields.items() if value is not None}


def _attempts(event: CallEnded) -> str:
    return ",".join(f"{each.model}:{each.outcome}" for each in event.receipt.attempts) or "none"
