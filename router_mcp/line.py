"""The queue of one runtime: a line for each tenant, served in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from router_mcp.domain import Endpoint


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller in the queue."""

    endpoints: Sequence[Endpoint]
    tenant: str
    event: anyio.Event = field(default_factory=anyio.Event)
    granted: Endpoint | None = None


@dataclass(slots=True)
class Line:
    """All who wait for one runtime."""

    tenants: OrderedDict[str, deque[Waiter]] = field(default_factory=OrderedDict)
    length: int = 0

    def add(self, waiter: Waiter) -> None:
        """Let a caller stand in its tenant's line."""
        self.tenants.setdefault(waiter.tenant, deque()).append(waiter)
        self.length += 1

    def has(self, waiter: Waiter) -> bool:
        """Tell whether a caller still stands here."""
        return waiter in self.tenants.get(waiter.tenant, ())

    def remove(self, waiter: Waiter) -> None:
        """Let a caller leave."""
        line = self.tenants[waiter.tenant]
        line.remove(waiter)
        self.length -= 1
        if not line:
            del self.tenants[waiter.tenant]

    def pop_for_tenant(self, tenant: str) -> Waiter | None:
        """Take the last caller of the longest line, if that stays no shorter than this tenant's with one more."""
        longest = max(self.tenants.values(), key=len, default=deque[Waiter]())
        if len(longest) <= len(self.tenants.get(tenant, ())) + 1:
            return None
        waiter = longest[-1]
        self.remove(waiter)
        return waiter

    def pop_for(self, endpoint: Endpoint) -> Waiter | None:
        """Take the next caller that accepts this endpoint, and send its tenant to the end of the turn."""
        for tenant, line in self.tenants.items():
            waiter = next((each for each in line if endpoint in each.endpoints), None)
            if waiter is not None:
                self.remove(waiter)
                if tenant in self.tenants:
                    self.tenants.move_to_end(tenant)
                return waiter
        return None

    def wanted(self) -> tuple[Endpoint, ...]:
        """List the endpoints that anyone here waits for."""
        waiters = (waiter for line in self.tenants.values() for waiter in line)
        return tuple(dict.fromkeys(endpoint for waiter in waiters for endpoint in waiter.endpoints))

    def position(self, waiter: Waiter) -> int:
        """Return which of the callers in the queue, counted from 1, this one will be when all are served in turn."""
        ahead = turns = self.tenants[waiter.tenant].index(waiter)
        sooner = 1  # tenants that stand before this one's have one turn more
        for tenant, line in self.tenants.items():
            if tenant == waiter.tenant:
                sooner = 0
            else:
                ahead += min(len(line), turns + sooner)
        return ahead + 1
