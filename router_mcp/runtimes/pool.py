"""Connections to runtimes: the pool that every HTTP client here stands on."""

from __future__ import annotations

import aiohttp

KEEPALIVE_S = 3.0
"""Idle connections are dropped after this: vLLM closes them at exactly 5.00 s (vLLM B1 #15)."""


def make_session(*, connect_s: float) -> aiohttp.ClientSession:
    """Return a pool without limits but on connecting: the router rules the rest. Call it where the loop runs."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=30, happy_eyeballs_delay=0.1)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),  # looking up the name and TLS included
        read_bufsize=256 * 1024,
        max_line_size=64 * 1024,
        max_field_size=64 * 1024,
    )
