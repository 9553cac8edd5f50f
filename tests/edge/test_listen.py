"""The socket that an HTTP server listens on."""

from __future__ import annotations

import socket

from router_mcp.edge.run import listen


def test_what_is_written_to_a_connection_leaves_at_once() -> None:
    """Else the end of every answer waits for the client to acknowledge its beginning, which takes it 40 ms."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
