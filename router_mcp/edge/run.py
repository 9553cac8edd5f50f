"""Running a server until it is told to stop, and leaving cleanly.

Neither of the SDK's runners does: on stdio a SIGTERM skips the lifespan's exit and a SIGINT hangs; over HTTP
one open stream keeps the process for ever (mcp-sdk.md findings 8 and 9).
"""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import anyio
import uvicorn
from mcp.server.stdio import stdio_server

from router_mcp.edge.connection import bounded_protocol
from router_mcp.edge.groups import sole_error
from router_mcp.edge.lowlevel import lowlevel
from router_mcp.edge.signals import stopped_by_signal
from router_mcp.edge.stdin import Lines, taken_stdin
from router_mcp.edge.stdout import taken_stdout
from router_mcp.errors import ConfigError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from router_mcp.edge.http import HttpApp

_log = logging.getLogger(__name__)

STDIO_GRACE_S = 5.0
"""Time for a stdio server to wind down; clients kill theirs after a few seconds."""
HTTP_GRACE_S = 10
"""Time for calls in flight to finish."""
_FILES = 10_240
_OTHER_FILES = 256
"""Files kept for everything but incoming connections: those to the runtimes, above all."""


async def serve_stdio(server: MCPServer[Any], *, grace_s: float = STDIO_GRACE_S) -> None:
    """Serve on stdin and stdout until stdin ends, the client is gone, or a signal comes.

    Calls in flight are then cancelled, and the lifespan's exit runs to its end, for at most `grace_s`.
    """
    low = lowlevel(server)
    with taken_stdin() as lines, taken_stdout() as wire, sole_error(), _lost_client_is_the_end():
        # AsyncFiles are asked for, but one is only ever iterated, and the other written and flushed.
        files = cast("anyio.AsyncFile[str]", lines), cast("anyio.AsyncFile[str]", wire)
        async with stdio_server(*files) as (read, write):
            async with stopped_by_signal(lines.close):
                # Shielded, because a client that stops reading fails the writer, which cancels everything
                # around it; the reader then ends too, and that is what ends this.
                with anyio.CancelScope(shield=True) as serving:
                    async with anyio.create_task_group() as group:
                        group.start_soon(_limit_after_end, lines, serving, grace_s)
                        await low.run(read, write, low.create_initialization_options())
                        group.cancel_scope.cancel()
            lines.close()


async def _limit_after_end(lines: Lines, serving: anyio.CancelScope, grace_s: float) -> None:
    await lines.ended.wait()
    serving.deadline = anyio.current_time() + grace_s


@contextmanager
def _lost_client_is_the_end() -> Generator[None]:
    try:
        yield
    except* ConnectionError:
        _log.info("the client is gone")


async def serve_http(app: HttpApp, *, port: int, grace_s: int = HTTP_GRACE_S) -> None:
    """Serve over HTTP until a signal comes; port 0 takes a free one.

    Then `/readyz` says so, streams end, calls in flight have `grace_s` to finish and are cancelled, and the
    lifespan's exit runs. Raises `ConfigError` when the address cannot be bound.
    """
    listener = listen(app.bind.host, port)
    server = QuietServer(_config(app, grace_s), app.name)

    def stop() -> None:
        app.stop()
        server.should_exit = True

    with listener, sole_error():
        async with app.running(), stopped_by_signal(stop):
            await server.serve(sockets=[listener])
            with anyio.move_on_after(1):  # for those that uvicorn cancelled: it does not wait for them
                while server.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.01)


def _config(app: HttpApp, grace_s: int) -> uvicorn.Config:
    limits = app.limits
    connections = max(min(limits.connections, _raise_file_limit() - _OTHER_FILES), 16)
    return uvicorn.Config(
        app,
        http=bounded_protocol(head_s=limits.head_s, max_connections=connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=grace_s,
    )


class QuietServer(uvicorn.Server):
    """uvicorn without its own logging and signal handling; it says once where `name` answers."""

    def __init__(self, config: uvicorn.Config, name: str, path: str = "/mcp") -> None:
        super().__init__(config)
        self._name = name
        self._path = path

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to us: sse-starlette hooks uvicorn's handler, and would cut the calls in flight at once."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _log.info("%s answers on http://%s:%d%s", self._name, shown, port, self._path)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one. Raises `ConfigError` when it cannot."""
    name = host.strip("[]")
    if port not in range(2**16):
        raise ConfigError(f"{port} is not a port. Choose one from 0 (any that is free) to 65535.")
    try:
        found = socket.getaddrinfo(name or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        listener = socket.create_server((address[0], port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}). "
            "Choose another --port or --host, or stop what uses this one."
        ) from None
    # Connections inherit it. asyncio would set it, but not on those of a socket that does not name its protocol; the
    # end of every answer then waits 40 ms for the client to acknowledge the beginning.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _raise_file_limit() -> int:
    """Allow this process as many open files as it may have, within reason, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
