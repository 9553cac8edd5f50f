"""Vectors that were computed before, for tenants whose texts may be remembered. Bounded; least used go first."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from embeddings_mcp.config.file import CachePolicy
from embeddings_mcp.domain import Item, Vectors

_ENTRY_BYTES = 256
"""What an entry costs beside its numbers: key, links, array header."""


class VectorCache:
    """Full-length vectors, keyed by tenant, model, kind of input and text, so no tenant learns from another's.

    It keeps hashes of texts, never texts.
    """

    def __init__(self, policy: CachePolicy) -> None:
        self._tenants = frozenset(policy.tenants)
        self._limit = policy.max_mb * 2**20
        self._rows: OrderedDict[bytes, Vectors] = OrderedDict()
        self.size = 0
        """Bytes in use, about."""

    def allows(self, tenant: str | None) -> bool:
        """Tell whether this tenant's vectors may be kept."""
        return "*" in self._tenants or tenant in self._tenants

    def get(self, tenant: str | None, model: str, item: Item) -> Vectors | None:
        """Return the vector of a text, if it is remembered."""
        if not self.allows(tenant):
            return None
        key = _key(tenant, model, item)
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def put(self, tenant: str | None, model: str, item: Item, row: Vectors) -> None:
        """Remember a vector, if this tenant's may be kept; forget the least used ones to make room."""
        if not self.allows(tenant):
            return
        key = _key(tenant, model, item)
        if key not in self._rows:
            self.size += row.nbytes + _ENTRY_BYTES
        self._rows[key] = row.copy()  # a view would keep its whole batch alive
        self._rows.move_to_end(key)
        while self.size > self._limit:
            _, oldest = self._rows.popitem(last=False)
            self.size -= oldest.nbytes + _ENTRY_BYTES


def _key(tenant: str | None, model: str, item: Item) -> bytes:
    digest = blake2b(digest_size=24)
    for part in ("\1" if tenant is None else f"\2{tenant}", model, item.input_type, item.text):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.digest()
