"""One line in the log for each call: what it cost and how it ended, never a text, a tenant or a secret."""

from __future__ import annotations

import logging

from embeddings_mcp.telemetry.base import BatchStarted, CallEnded, Event

_log = logging.getLogger("embeddings_mcp.calls")


class CallLog:
    """Telemetry that writes a line when a call ends: as fields in JSON logs, and readable in text ones."""

    def started(self, event: BatchStarted) -> str | None:
        """Nothing is written before a call has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Write the line of a call that ended."""
        if not isinstance(event, CallEnded):
            return
        fields = {
            "request_id": event.request_id,
            "operation": event.operation,
            "outcome": event.outcome,
            "model": event.model,
            "texts": event.texts,
            "seconds": round(event.seconds, 3),
            "input_tokens": event.input_tokens,
            "cache_hits": event.cache_hits,
        }
        _log.info("call %s", " ".join(f"{key}={value}" for key, value in fields.items()), extra=fields)
