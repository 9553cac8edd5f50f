"""Tenants share GPUs, not cached prefixes: a salt per tenant keeps vLLM's prefix cache apart."""

from __future__ import annotations

import hmac
from hashlib import sha256


def cache_salt(secret: str, tenant: str, epoch: int = 0) -> str:
    """Return the salt of a tenant's epoch: 64 hex digits, since vLLM refuses `@ / \\` and more than 128 (B1 #13)."""
    key, text = (part.encode("utf-8", "surrogatepass") for part in (secret, f"{tenant}\0{epoch}"))
    return hmac.new(key, text, sha256).hexdigest()
