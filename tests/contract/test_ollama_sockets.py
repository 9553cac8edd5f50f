"""The adapter and the production transport on real sockets: servers that die, stall or talk nonsense."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from router_mcp.domain import Call, Completion, Endpoint
from router_mcp.errors import AttemptError, BrokenStreamError, ServerFailedError, UnreachableError
from router_mcp.runtimes.ollama import OllamaRuntime
from router_mcp.runtimes.wire import make_transport
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import OLLAMA, a_runtime, answers, ends, exchange, says
from tests.contract.replay import recording
from tests.contract.sockets import Script, chunk, read_request, serving

pytestmark = pytest.mark.anyio

NDJSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
SHE = answers(says("She")).body
DONE = answers(ends()).body
LONG_ENOUGH = 5.0
"""Seconds; nothing here takes more than some hundredths, but machines can be busy."""


def reaching(url: str) -> tuple[OllamaRuntime, Call]:
    runtime = a_runtime(make_transport(connect_s=2), endpoints=(url,))
    return runtime, a_call(Endpoint(runtime="ollama", url=url))


async def ask(url: str, heard: Heard | None = None) -> Completion:
    runtime, call = reaching(url)
    try:
        return await runtime.generate(call, heard or Heard())
    finally:
        await runtime.aclose()


async def ask_server(script: Script, heard: Heard | None = None) -> Completion:
    with anyio.fail_after(LONG_ENOUGH):
        async with serving(script) as url:
            return await ask(url, heard)


def saying(*pieces: bytes) -> Script:
    async def say(stream: SocketStream) -> None:
        for piece in pieces:
            await stream.send(piece)

    return say


async def test_a_stream_is_read_as_it_comes() -> None:
    heard = Heard()
    pieces = (NDJSON, chunk(SHE), chunk(SHE[:20]), chunk(SHE[20:] + DONE), chunk(b""))
    completion = await ask_server(saying(*pieces), heard)
    assert (completion.text, heard.texts) == ("SheShe", ["She", "She"])


@pytest.mark.parametrize("name", ["054e_raw_server_sigterm_midstream", "054f_raw_server_sigkill_midstream"])
async def test_a_server_that_is_stopped_midway_is_a_broken_stream(name: str) -> None:
    """Ollama #11: FIN, no last chunk, no error line; SIGTERM does not drain either."""
    assert recording(OLLAMA, name)["response"]["ended_by"].startswith("FIN")
    heard = Heard()
    with pytest.raises(BrokenStreamError):
        await ask_server(saying(NDJSON, *[chunk(line + b"\n") for line in exchange(name).body.splitlines()]), heard)
    assert heard.texts


async def test_a_server_that_is_stopped_before_its_answer_was_not_reached() -> None:
    """Ollama #11: with nothing said yet, the connection is just closed."""
    with pytest.raises(UnreachableError):
        await ask_server(saying())


async def test_a_server_that_is_down_was_not_reached() -> None:
    """Ollama, section 5: `refused_*`; the client says this in two ways, by whether it streams."""
    async with serving(saying()) as url:
        pass
    with pytest.raises(UnreachableError, match="Connection refused"):
        await ask(url)
    runtime, call = reaching(url)
    with pytest.raises(UnreachableError):
        await runtime.probe(call.endpoint)
    with pytest.raises(UnreachableError):
        await runtime.reset_cache(call.endpoint)
    await runtime.aclose()


async def test_a_host_name_that_does_not_exist_was_not_reached() -> None:
    """Ollama, section 5: `bad_host_name`."""
    with pytest.raises(UnreachableError):
        await ask("http://no-such-host.invalid:11434")


@pytest.mark.parametrize(
    "pieces",
    [
        (NDJSON, chunk(SHE), b"50\r\n" + SHE[:8]),
        (NDJSON, chunk(SHE), chunk(SHE[:5]), chunk(b"")),
        (NDJSON, chunk(SHE), chunk(b"")),
        (NDJSON, chunk(b"")),
        (NDJSON, b"zz\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + SHE,),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\n<html>login</html>",),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",),
        (b"HTTP/1.1 204 No Content\r\n\r\n",),
        (b"SSH-2.0-OpenSSH_9.6\r\n",),
        (b"\x00\x01\x02\x03",),
    ],
    ids=[
        "cut within a chunk",
        "half a line, clean end",
        "no done, clean end",
        "no line, clean end",
        "no chunk size",
        "shorter than its length",
        "empty 200",
        "HTML 200",
        "not what it is encoded as",
        "no content",
        "another protocol",
        "noise",
    ],
)
async def test_nothing_that_a_socket_says_gets_out_as_it_is(pieces: tuple[bytes, ...]) -> None:
    """Ollama, section 5: `fake_*` and `server_sig*`, whatever httpx, aiohttp, json or pydantic make of them."""
    with pytest.raises(AttemptError) as caught:
        await ask_server(saying(*pieces))
    assert isinstance(caught.value, BrokenStreamError | UnreachableError | ServerFailedError)
    assert "login" not in str(caught.value)


async def test_an_error_line_ends_the_call_at_once() -> None:
    """Ollama #10: as recorded, before the last chunk; the client calls this status -1."""
    killed = exchange("053i_raw_runner_sigkill_midstream").body

    async def then_silence(stream: SocketStream) -> None:
        await stream.send(NDJSON + chunk(killed))
        await anyio.sleep_forever()

    with pytest.raises(BrokenStreamError, match="reported a failure"):
        await ask_server(then_silence)


async def test_cancelling_a_stalled_stream_closes_its_socket() -> None:
    """Ollama #12 and 051: on which the real one stops generating at once."""
    started, closed = anyio.Event(), anyio.Event()

    async def stall(stream: SocketStream) -> None:
        await stream.send(NDJSON + chunk(SHE))
        started.set()
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            closed.set()

    with anyio.fail_after(LONG_ENOUGH):
        async with serving(stall) as url, anyio.create_task_group() as tasks:
            runtime, call = reaching(url)
            tasks.start_soon(runtime.generate, call, Heard())
            await started.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await closed.wait()
    await runtime.aclose()


async def test_cancelling_before_the_headers_closes_the_socket() -> None:
    """Ollama #15: a call that waits its turn has no headers yet."""
    asked, closed = anyio.Event(), anyio.Event()

    async def wait(stream: SocketStream) -> None:
        asked.set()
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            closed.set()

    with anyio.fail_after(LONG_ENOUGH):
        async with serving(wait) as url, anyio.create_task_group() as tasks:
            runtime, call = reaching(url)
            tasks.start_soon(runtime.generate, call, Heard())
            await asked.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await closed.wait()
    await runtime.aclose()


async def test_calls_in_turn_share_one_connection() -> None:
    connections: list[int] = []

    async def again(stream: SocketStream) -> None:
        connections.append(1)
        while True:
            await stream.send(NDJSON + chunk(SHE + DONE) + chunk(b""))
            await read_request(stream)

    with anyio.fail_after(LONG_ENOUGH):
        async with serving(again) as url:
            runtime, call = reaching(url)
            for _ in range(3):
                assert (await runtime.generate(call, Heard())).text == "She"
            await runtime.aclose()
    assert len(connections) == 1
