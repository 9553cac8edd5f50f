"""Which replica of a runtime: the one that has this prompt's beginning in its prefix cache, unless it is loaded.

Rendezvous hashing, so that a replica that comes or goes moves only its own share of the prompts, and every
router process chooses alike without talking to the others. Bounded load: a replica that already runs clearly
more calls than the least busy one loses the prompt to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

from router_mcp.domain import Endpoint, Message

PREFIX_CHARS = 1024
"""Prompts that agree on this many characters, system text included, go to the same replica."""
SLACK = 4
"""Calls that the preferred replica may run above the least busy one before it is passed over."""


def prefix_key(tenant: str | None, system: str | None, prompt: str, history: Sequence[Message] = ()) -> bytes:
    """Return what stands for the first part of a call: tenant, system text, and how the conversation begins.

    A conversation begins with its first turn, so that every later turn finds the replica that has the others.
    """
    opening = history[0].content if history else prompt
    head = f"{(system or '')[:PREFIX_CHARS]}\0{opening[:PREFIX_CHARS]}"[: PREFIX_CHARS + 1]
    return blake2b(f"{tenant or ''}\0{head}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def is_settled(system: str | None, opening: str) -> bool:
    """Tell whether every call that begins so has the same key, whatever follows."""
    return len((system or "")[:PREFIX_CHARS]) + len(opening[:PREFIX_CHARS]) >= PREFIX_CHARS


def order(endpoints: Sequence[Endpoint], key: bytes, running: Callable[[Endpoint], int]) -> tuple[Endpoint, ...]:
    """Return the replicas in the order in which to try them for this prompt."""
    if len(endpoints) <= 1:
        return tuple(endpoints)
    floor = min(map(running, endpoints))
    return tuple(sorted(endpoints, key=lambda each: (running(each) - floor > SLACK, _weight(each, key))))


def _weight(endpoint: Endpoint, key: bytes) -> bytes:
    return blake2b(endpoint.url.encode(), digest_size=8, key=key).digest()
