"""The stream reader and the production transport on real sockets: what happens when connections misbehave."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from anyio.abc import SocketStream

from router_mcp.domain import Completion, Endpoint
from router_mcp.errors import AttemptError, BrokenStreamError, RejectedError, UnreachableError
from router_mcp.runtimes.direct import DirectClient
from router_mcp.runtimes.openai_chat import stream_chat
from router_mcp.runtimes.pool import KEEPALIVE_S
from router_mcp.runtimes.wire import Headers
from tests.contract.calls import Heard
from tests.contract.replay import recording
from tests.contract.sockets import EVENTS, Script, chunk, event, serving

pytestmark = pytest.mark.anyio

CHUNKED = EVENTS + b"transfer-encoding: chunked\r\n\r\n"
LONG_ENOUGH = 5.0
"""Seconds; nothing here takes more than some hundredths, but machines can be busy."""


def refused(status: int, headers: Headers, body: object) -> AttemptError:
    return RejectedError(f"{status} {body}")


async def ask(url: str, heard: Heard | None = None) -> Completion:
    endpoint = Endpoint(runtime="test", url=url)
    async with aclosing(DirectClient(connect_s=2)) as client:
        return await stream_chat(client, f"{url}/chat", {}, {}, endpoint, heard or Heard(), refused)


async def ask_server(script: Script) -> Completion:
    with anyio.fail_after(LONG_ENOUGH):
        async with serving(script) as url:
            return await ask(url)


async def test_an_answer_in_arbitrary_pieces_is_read_whole() -> None:
    async def drip(stream: SocketStream) -> None:
        body = chunk(event("naïve ") + event("☂", "stop")) + chunk(b"data: [DONE]\n\n") + chunk(b"")
        for byte in CHUNKED + body:
            await stream.send(bytes([byte]))

    assert (await ask_server(drip)).text == "naïve ☂"


async def test_a_chunked_answer_that_is_cut_is_broken() -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.send(CHUNKED + chunk(event("half")))

    with pytest.raises(BrokenStreamError, match="broke off its answer"):
        await ask_server(cut)


async def test_an_answer_that_is_cut_within_a_chunk_is_broken() -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.send(CHUNKED + chunk(event("half"))[:-30])

    with pytest.raises(BrokenStreamError):
        await ask_server(cut)


async def test_an_answer_shorter_than_its_content_length_is_broken() -> None:
    async def short(stream: SocketStream) -> None:
        await stream.send(EVENTS + b"content-length: 10000\r\n\r\n" + event("half"))

    with pytest.raises(BrokenStreamError):
        await ask_server(short)


async def test_an_answer_cut_by_a_smaller_content_length_is_broken() -> None:
    async def cut(stream: SocketStream) -> None:
        body = event("whole", "stop")
        await stream.send(EVENTS + b"content-length: %d\r\n\r\n" % (len(body) - 40) + body)

    with pytest.raises(BrokenStreamError):
        await ask_server(cut)


async def test_an_answer_that_ends_with_the_connection_and_no_finish_reason_is_broken() -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.send(EVENTS + b"connection: close\r\n\r\n" + event("half"))

    with pytest.raises(BrokenStreamError, match="without a finish reason"):
        await ask_server(cut)


async def test_a_complete_answer_stays_one_when_its_connection_is_cut_behind_it() -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.send(CHUNKED + chunk(event("whole", "stop")))

    completion = await ask_server(cut)
    assert (completion.text, completion.usage.output_tokens) == ("whole", 0)


async def test_a_connection_closed_before_any_answer_is_unreachable() -> None:
    async def hang_up(stream: SocketStream) -> None:
        await stream.aclose()

    with pytest.raises(UnreachableError):
        await ask_server(hang_up)


async def test_an_answer_that_is_not_http_is_broken_or_unreachable() -> None:
    async def speak_ssh(stream: SocketStream) -> None:
        await stream.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    with pytest.raises((BrokenStreamError, UnreachableError)):
        await ask_server(speak_ssh)


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    async with serving(anyio.sleep_forever) as url:  # type: ignore[arg-type] # never called
        pass
    with pytest.raises(UnreachableError, match="cannot be reached"):
        await ask(url)


@pytest.mark.parametrize("after_headers", [False, True], ids=["before headers", "within the stream"])
async def test_cancelling_closes_the_connection(after_headers: bool) -> None:
    """vLLM B1 #16: it aborts when the connection closes, so closing is how to cancel."""
    started, closed = anyio.Event(), anyio.Event()

    async def notice(stream: SocketStream) -> None:
        if after_headers:
            await stream.send(CHUNKED + chunk(event("some")))
        started.set()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        closed.set()

    with anyio.fail_after(LONG_ENOUGH):
        async with serving(notice) as url, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, url)
            await started.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await closed.wait()
    assert closed.is_set()


async def test_a_connection_that_was_read_to_its_end_is_used_again() -> None:
    connections = 0

    async def answer_twice(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        answer = CHUNKED + chunk(event("one", "stop")) + chunk(b"data: [DONE]\n\n") + chunk(b"")
        await stream.send(answer)
        await stream.receive()
        await stream.send(answer)

    with anyio.fail_after(LONG_ENOUGH):
        async with serving(answer_twice) as url:
            endpoint = Endpoint(runtime="test", url=url)
            async with aclosing(DirectClient(connect_s=2)) as client:
                for _ in range(2):
                    await stream_chat(client, f"{url}/chat", {}, {}, endpoint, Heard(), refused)
    assert connections == 1


def test_idle_connections_are_given_up_before_vllm_closes_them() -> None:
    """vLLM B1 #15: it closes them after exactly 5 s, and a call that meets that moment is lost."""
    closed_after = recording("vllm-0.32.0", "keepalive_idle_close")["response"]["closed_after_s"]
    assert closed_after - KEEPALIVE_S >= 1
