"""What every HTTP runtime shares: one client, and foreign failures turned into ours.

Upstream text is read to decide, and never shown: it leaks paths, model lists and other callers' errors
(vLLM B1 #20, Ollama #9), and may hold injected instructions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import httpx
import httpx_aiohttp
import orjson

from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    StalledError,
    UnauthorizedError,
    UnreachableError,
)

if TYPE_CHECKING:
    from router_mcp.domain import Call, Endpoint

KEEPALIVE_S = 3.0
"""Idle connections are dropped after this: vLLM closes them at exactly 5.00 s (vLLM B1 #15)."""
MAX_ERROR_BODY = 64 * 1024
MAX_RETRY_AFTER_S = 600.0


def make_transport(*, connect_s: float, verify: bool = True) -> httpx.AsyncBaseTransport:
    """Return httpx over an aiohttp pool: a third of plain httpx's CPU per request (README, decisions)."""

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=30, happy_eyeballs_delay=0.1
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
            read_bufsize=256 * 1024,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )

    return httpx_aiohttp.AiohttpTransport(verify=verify, client=session)


def make_client(transport: httpx.AsyncBaseTransport, *, connect_s: float) -> httpx.AsyncClient:
    """Return a client without time limits but on connecting: the router rules the rest."""
    timeout = httpx.Timeout(None, connect=connect_s)
    return httpx.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)


@contextmanager
def foreign_errors(endpoint: Endpoint) -> Generator[None]:
    """Turn whatever httpx, aiohttp and JSON raise within into an `AttemptError`; let cancellation through."""
    try:
        yield
    except AttemptError:
        raise
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, ConnectionError) as error:
        message = f"{endpoint} cannot be reached ({_reason(error)}). Start it, or correct its URL in the policy."
        raise UnreachableError(message) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise StalledError(f"{endpoint} accepted the call and then said nothing. Look at its log and load.") from error
    except (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError) as error:
        message = f"{endpoint} broke off its answer ({type(error).__name__}). Look at its log."
        raise BrokenStreamError(message) from error
    except ValueError as error:  # JSON, UTF-8 and pydantic's ValidationError are all ValueErrors
        raise BrokenStreamError(f"{endpoint} answered what cannot be read. Is it the runtime you meant?") from error


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio says "Connect call failed" for all of them; look-ups have numbers below zero, and say it well.
            return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "no connection"


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds of a `Retry-After` header; `None` when absent, a date, or not sensible."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None


def status_error(endpoint: Endpoint, status: int, headers: httpx.Headers) -> AttemptError:
    """Return what a status means on every runtime; adapters look at the body for what is theirs first."""
    if status in {401, 403}:
        return UnauthorizedError(f"{endpoint} refused the key ({status}). Correct the variable named in api_key_env.")
    if status in {408, 425, 429}:
        after = retry_after(headers)
        return OverloadedError(f"{endpoint} asks to wait ({status}).", retry_after_s=after)
    if 400 <= status < 500 and status not in {404, 405}:
        return RejectedError(f"{endpoint} refused the request ({status}). Change the arguments; others would too.")
    if status < 500:
        message = f"{endpoint} has no such route ({status}). Correct the endpoint's URL or kind in the policy."
        return ServerFailedError(message)
    return ServerFailedError(f"{endpoint} failed ({status}). Look at its log.", retry_after_s=retry_after(headers))


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """Read a body, but stop once more than `limit` bytes have come."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


async def read_error_body(response: httpx.Response) -> bytes:
    """Read an error body, but no more of it than anyone needs."""
    return await read_body(response, MAX_ERROR_BODY)


def parse_json(body: bytes) -> object:
    """Parse a body that should be JSON; `None` when it is not."""
    try:
        return orjson.loads(body)
    except ValueError:
        return None


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def call_headers(call: Call) -> dict[str, str]:
    """Return the headers by which a call is found again in a runtime's log and traces."""
    headers = {"x-request-id": call.request_id}
    if call.traceparent and _TRACEPARENT.fullmatch(call.traceparent):  # it came from outside
        headers["traceparent"] = call.traceparent
    return headers
