"""Copies of answered calls for canaries in the shadow: what they say is counted and thrown away.

Copies never wait before callers: while anyone queues for the candidate's runtime they are left out.
"""

from __future__ import annotations

import anyio

from router_mcp.domain import GenerateRequest
from router_mcp.errors import RouterError
from router_mcp.router import Router

LOOK_EVERY_S = 0.2
AT_ONCE = 4
"""Copies in flight."""


class Shadow:
    """Sends the copies that a router's watch kept, for as long as `run` runs."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._slots = anyio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Send until cancelled."""
        copies = self._router.orders.watch.copies
        async with anyio.create_task_group() as tasks:
            while True:
                while copies and self._slots.value:
                    await self._slots.acquire()
                    tasks.start_soon(self._send, copies.popleft())
                await anyio.sleep(LOOK_EVERY_S)

    async def _send(self, request: GenerateRequest) -> None:
        try:
            if self._has_room(request.model):
                await self._router.generate(request)
        except RouterError:
            return  # it is in the numbers
        finally:
            self._slots.release()

    def _has_room(self, model: str | None) -> bool:
        models = self._router.fleet.policy.models
        return model in models and not self._router.book.queued(models[model].runtime)
