"""What keeps a connection from being made: whom it blames, and how long anyone waits for it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator
from threading import Event
from typing import Any

import aiohttp
import anyio
import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Endpoint
from router_mcp.errors import OverloadedError, UnreachableError
from router_mcp.runtimes.base import Runtime
from router_mcp.runtimes.direct import DirectClient
from router_mcp.runtimes.ollama import OllamaRuntime
from router_mcp.runtimes.vllm import VllmRuntime
from router_mcp.runtimes.wire import foreign_errors, make_client, make_transport
from tests.contract.calls import Heard, a_call

pytestmark = pytest.mark.anyio

URL = "http://slow-to-find.invalid:8000"
LIMIT_S = 0.1


def a_vllm() -> Runtime:
    return VllmRuntime(RuntimeConfig(kind="vllm", endpoints=(URL,)), DirectClient(connect_s=LIMIT_S))


def a_vllm_on_httpx() -> Runtime:
    client = make_client(make_transport(connect_s=LIMIT_S), connect_s=LIMIT_S)
    return VllmRuntime(RuntimeConfig(kind="vllm", endpoints=(URL,)), client)


def an_ollama() -> Runtime:
    config = RuntimeConfig(kind="ollama", endpoints=(URL,))
    return OllamaRuntime(config, make_transport(connect_s=LIMIT_S), connect_s=LIMIT_S, probe_timeout_s=9)


@pytest.fixture
async def lookups_hang(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let nobody find any host for the time of a test, as when the name server is down."""
    over = Event()

    def hang(*_: Any, **__: Any) -> Any:
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    over.set()


@pytest.mark.usefixtures("lookups_hang")
@pytest.mark.parametrize("make", [a_vllm, a_vllm_on_httpx, an_ollama])
async def test_looking_up_a_name_is_part_of_connecting_and_may_take_no_longer(make: Any) -> None:
    runtime = make()
    with anyio.fail_after(10), pytest.raises(UnreachableError):
        await runtime.generate(a_call(Endpoint(runtime="far", url=URL)), Heard())
    await runtime.aclose()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_shortage_of_our_own_is_no_fault_of_the_endpoint(number: int) -> None:
    """Else every endpoint would be unwell, because the router has too many files open."""
    key: Any = aiohttp.client_reqrep.ConnectionKey("h", 80, False, True, None, None, None)
    with (
        pytest.raises(OverloadedError, match="Raise its limit of open files") as caught,
        foreign_errors(Endpoint(runtime="far", url=URL)),
    ):
        raise aiohttp.ClientConnectorError(key, OSError(number, os.strerror(number)))
    assert caught.value.blames == "nobody"
