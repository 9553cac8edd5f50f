"""Which replica of a runtime: the one that has this prompt's beginning in its prefix cache, unless it is loaded.

Consistent hashing: replicas and prompts stand on a circle, and a prompt belongs to the replica that comes next. So
one that comes or goes moves only its own share of the prompts, every router process chooses alike without talking
to the others, and a choice takes no longer with a thousand replicas. Bounded load: a replica that runs clearly more
calls than the average loses the prompt to the next one.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import unpack

from router_mcp.domain import Endpoint, Message

PREFIX_CHARS = 1024
"""Calls that agree on this many characters of their system text and of their first turn go to the same replica."""
SLACK = 3
"""Calls that a replica may run above the average before it is passed over, or"""
SPREAD = 0.25
"""so large a part of the average, whichever is more."""
POINTS = 64
"""Places of a replica on the circle: shares of prompts then differ by some 12 %."""


def prefix_key(tenant: str | None, system: str | None, prompt: str, history: Sequence[Message] = ()) -> bytes:
    """Return what stands for the first part of a call: tenant, system text, and how the conversation begins.

    A conversation begins with its first turn, so that every later turn finds the replica that has the others. The
    turn counts however long the system text is: fleets of agents share one, and would all meet on one replica, while
    that text is soon in the caches of all (benchmarks/affinity.py).
    """
    opening = history[0].content if history else prompt
    head = f"{tenant or ''}\0{(system or '')[:PREFIX_CHARS]}\0{opening[:PREFIX_CHARS]}"
    return blake2b(head.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def is_settled(opening: str) -> bool:
    """Tell whether every call that begins so has the same key, whatever follows."""
    return len(opening) >= PREFIX_CHARS


class Ring:
    """The replicas of a runtime on their circle. It takes a while to make, and is kept with the policy."""

    def __init__(self, replicas: Iterable[Endpoint]) -> None:
        owners = {each.url: each for each in replicas}
        stands = sorted((place, url) for url in owners for place in _places(url))
        self._places = [place for place, _ in stands]
        self._owners = [owners[url] for _, url in stands]
        self._count = len(owners)

    def walk(self, key: bytes) -> Iterator[Endpoint]:
        """Yield every replica once, in the order in which this key prefers them."""
        start = bisect(self._places, int.from_bytes(key[:8], "big"))
        seen: set[str] = set()
        for index in range(len(self._owners)):
            owner = self._owners[(start + index) % len(self._owners)]
            if owner.url not in seen:
                seen.add(owner.url)
                yield owner
                if len(seen) == self._count:
                    return


def _places(url: str) -> tuple[int, ...]:
    """Return where a replica stands: the same in every process."""
    blocks = (blake2b(url.encode(), digest_size=64, salt=bytes([block])).digest() for block in range(POINTS // 8))
    return unpack(f">{POINTS}Q", b"".join(blocks))


def order(
    ring: Ring, replicas: Collection[Endpoint], key: bytes, running: Callable[[Endpoint], int], total: int
) -> Iterator[Endpoint]:
    """Yield those replicas in the order in which to try them for this prompt; `total` is how many calls they run."""
    average = total / len(replicas)
    most = average + max(SLACK, SPREAD * average)
    loaded: list[Endpoint] = []
    for each in ring.walk(key):
        if each in replicas:
            if running(each) <= most:
                yield each
            else:
                loaded.append(each)
    yield from loaded
