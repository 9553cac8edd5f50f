"""Handles of long calls and what became of them: bounded, for a time, each seen by its owner only.

These are the protocol's tasks (SEP-2663), a word that means something else in a policy. Nothing is dropped before
its time is over, as the protocol has it; so a store that is full takes no new handle, and `create` says so.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["working", "completed", "failed", "cancelled"]

TTL_S = 900.0
"""How long a handle lives at least, from its creation."""
AFTER_END_S = 300.0
"""How long a result can be fetched at least, from when it is there."""
POLL_S = 1.0
MOST = 1024
MOST_OF_ONE = 64
MOST_BYTES = 64 * 1024 * 1024
"""Results kept at a time, all together: one call to `embed_texts` may give 20 MB."""


@dataclass(slots=True, kw_only=True)
class Handle:
    """One long call. `owner` is the principal of its caller, `None` where nobody is asked for a token."""

    id: str
    owner: str | None
    cancel: Callable[[], None]
    created: datetime
    updated: datetime
    begun: float
    expires: float
    status: Status = "working"
    message: str | None = None
    result: bytes | None = None
    """The tool's result as JSON; a fraction of what its Python objects take."""
    error: dict[str, Any] | None = None

    def wire(self, result_type: Literal["task", "complete"]) -> dict[str, Any]:
        """Return the handle as a `CreateTaskResult` or as the answer of `tasks/get`."""
        fields: dict[str, Any] = {
            "resultType": result_type,
            "taskId": self.id,
            "status": self.status,
            "createdAt": _iso(self.created),
            "lastUpdatedAt": _iso(self.updated),
            "ttlMs": round((self.expires - self.begun) * 1000),
            "pollIntervalMs": round(POLL_S * 1000),
        }
        if self.message is not None:
            fields["statusMessage"] = self.message
        if self.status == "completed" and self.result is not None:
            fields["result"] = json.loads(self.result)
        if self.error is not None:
            fields["error"] = self.error
        return fields


class TaskStore:
    """The handles of one server. Synchronous, so that nothing happens between a look and a change."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._wall = wall
        self._handles: dict[str, Handle] = {}

    def create(self, owner: str | None, cancel: Callable[[], None]) -> Handle | None:
        """Return a new handle, or `None` when no more are kept, of this owner or of all."""
        self._forget_expired()
        mine = sum(handle.owner == owner for handle in self._handles.values())
        kept = sum(len(handle.result or b"") for handle in self._handles.values())
        if mine >= MOST_OF_ONE or len(self._handles) >= MOST or kept >= MOST_BYTES:
            return None
        now, wall = self._clock(), self._wall()
        handle = Handle(
            id=secrets.token_urlsafe(24),
            owner=owner,
            cancel=cancel,
            created=wall,
            updated=wall,
            begun=now,
            expires=now + TTL_S,
        )
        self._handles[handle.id] = handle
        return handle

    def find(self, task_id: str, owner: str | None) -> Handle | None:
        """Return a handle of this owner; another one's looks as if it did not exist."""
        self._forget_expired()
        handle = self._handles.get(task_id)
        return handle if handle is not None and handle.owner == owner else None

    def note(self, handle: Handle, message: str) -> None:
        """Say where the call is; nothing once it has ended."""
        if handle.status == "working" and handle.message != message:
            handle.message, handle.updated = message, self._wall()

    def complete(self, handle: Handle, result: bytes) -> None:
        """Keep the tool's result, which may be an error of the tool."""
        if self._end(handle, "completed"):
            handle.result = result

    def fail(self, handle: Handle, error: dict[str, Any]) -> None:
        """Keep the JSON-RPC error that ended the call."""
        if self._end(handle, "failed"):
            handle.error = error
            handle.message = str(error.get("message", ""))

    def cancel(self, handle: Handle) -> None:
        """End the call, if it has not ended."""
        if self._end(handle, "cancelled"):
            handle.cancel()

    def _end(self, handle: Handle, status: Status) -> bool:
        if handle.status != "working":
            return False
        handle.status, handle.message, handle.updated = status, None, self._wall()
        handle.expires = max(handle.expires, self._clock() + AFTER_END_S)
        return True

    def _forget_expired(self) -> None:
        now = self._clock()
        over = [key for key, handle in self._handles.items() if handle.status != "working" and handle.expires <= now]
        for key in over:
            del self._handles[key]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
