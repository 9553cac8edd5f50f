"""What every HTTP runtime shares: what it needs of a client, and foreign failures turned into ours.

Upstream text is read to decide, and never shown: it leaks paths, model lists and other callers' errors
(vLLM B1 #20, Ollama #9), and may hold injected instructions.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import aiohttp
import httpx
import httpx_aiohttp
import orjson

from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ContextTooLongError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    StalledError,
    UnauthorizedError,
    UnreachableError,
)
from router_mcp.runtimes.pool import make_session

if TYPE_CHECKING:
    from router_mcp.domain import Call, Endpoint

Headers: TypeAlias = Mapping[str, str]
"""Of an answer; their names have no case."""
MAX_ERROR_BODY = 64 * 1024
MAX_RETRY_AFTER_S = 600.0
ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses by which a runtime refuses what was asked; a proxy before it means something else by them."""


def make_transport(*, connect_s: float, verify: bool = True) -> httpx.AsyncBaseTransport:
    """Return httpx over an aiohttp pool, for what needs httpx: the pool that costs less CPU."""
    return httpx_aiohttp.AiohttpTransport(verify=verify, client=partial(make_session, connect_s=connect_s))


def make_client(transport: httpx.AsyncBaseTransport, *, connect_s: float) -> httpx.AsyncClient:
    """Return a client without time limits but on connecting: the router rules the rest."""
    return httpx.AsyncClient(
        transport=transport, timeout=time_limits(connect_s), follow_redirects=False, trust_env=False
    )


def time_limits(connect_s: float) -> httpx.Timeout:
    """Return the one limit that clients have: on connecting, which for aiohttp has two parts."""
    return httpx.Timeout(None, connect=connect_s, pool=connect_s)  # `pool` is what bounds looking up the name


class Response(Protocol):
    """What adapters use of an answer: of `httpx.Response`, or `direct.DirectResponse`."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        ...


class Client(Protocol):
    """What adapters use of a client: of `httpx.AsyncClient`, or `direct.DirectClient`."""

    def stream(
        self, method: str, url: str, *, content: bytes | None = None, headers: Headers
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request, and close its connection unless its answer is read to the end."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


UNREACHED = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol),
    *(aiohttp.ClientConnectionError, aiohttp.InvalidURL, ConnectionError),
)
OUR_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No fault of the endpoint: this process has too many files open, or the machine no memory."""
CUT = (httpx.TransportError, aiohttp.ClientError)
"""What ends an answer before its end, and says nothing against one that was complete."""


@contextmanager
def foreign_errors(endpoint: Endpoint) -> Generator[None]:
    """Turn whatever httpx, aiohttp and JSON raise within into an `AttemptError`; let cancellation through."""
    try:
        yield
    except AttemptError:
        raise
    except UNREACHED as error:
        if getattr(_cause(error), "errno", None) in OUR_SHORTAGES:
            message = f"The router's machine has no room for a connection to {endpoint}. Raise its limit of open files."
            raise OverloadedError(message) from error
        message = f"{endpoint} cannot be reached ({_reason(error)}). Start it, or correct its URL in the policy."
        raise UnreachableError(message) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise StalledError(f"{endpoint} accepted the call and then said nothing. Look at its log and load.") from error
    except (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError) as error:
        message = f"{endpoint} broke off its answer ({type(error).__name__}). Look at its log."
        raise BrokenStreamError(message) from error
    except ValueError as error:  # JSON, UTF-8 and pydantic's ValidationError are all ValueErrors
        raise BrokenStreamError(f"{endpoint} answered what cannot be read. Is it the runtime you meant?") from error


def _cause(error: BaseException | None) -> OSError | None:
    """Return what the operating system said."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error
        error = error.__cause__ or error.__context__
    return None


def _reason(error: Exception) -> str:
    if (cause := _cause(error)) is None:
        return "no connection"
    # asyncio says "Connect call failed" for all of them; look-ups have numbers below zero, and say it well.
    return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause.strerror)


def retry_after(headers: Headers) -> float | None:
    """Return the seconds of a `Retry-After` header; `None` when absent, a date, or not sensible."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None


def status_error(endpoint: Endpoint, status: int, headers: Headers) -> AttemptError:
    """Return what a status means on every runtime; adapters look at the body for what is theirs first."""
    if status in {401, 403}:
        return UnauthorizedError(f"{endpoint} refused the key ({status}). Correct the variable named in api_key_env.")
    if status in {408, 409, 425, 429}:
        after = retry_after(headers)
        return OverloadedError(f"{endpoint} asks to wait ({status}).", retry_after_s=after)
    if status in ABOUT_THE_REQUEST:
        return RejectedError(f"{endpoint} refused the request ({status}). Change the arguments; others would too.")
    if status < 500:
        message = f"{endpoint} has no such route ({status}). Correct the endpoint's URL or kind in the policy."
        return ServerFailedError(message)
    return ServerFailedError(f"{endpoint} failed ({status}). Look at its log.", retry_after_s=retry_after(headers))


def proxy_refusal(endpoint: Endpoint, status: int) -> AttemptError:
    """Return what one `ABOUT_THE_REQUEST` means when the runtime did not write it: another candidate may well serve."""
    if status == 413:
        return ContextTooLongError(
            f"A proxy before {endpoint} takes no request of this size (413). Shorten the prompt, or raise its limit."
        )
    return ServerFailedError(
        f"{endpoint} has a proxy before it that refuses calls ({status}). Look at its log, and at this URL."
    )


async def read_body(response: Response, limit: int) -> bytes:
    """Read a body, but stop once more than `limit` bytes have come."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


async def read_error_body(response: Response) -> bytes:
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
