"""Ollama may need minutes for a load: the adapter waits as long as it is let, and lets go at once when told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from router_mcp.errors import BrokenStreamError, StalledError, UnreachableError
from tests.clock import JumpingLoop
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import ENDPOINT, OLLAMA, a_runtime, answers, ends, says
from tests.contract.replay import recording

pytestmark = pytest.mark.anyio

PARIS = answers(says("Paris"), ends()).body
FOR_EVER = 10**9


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Ten minutes pass in no time here: no test of this file opens a socket."""
    return "asyncio", {"loop_factory": JumpingLoop}


class Slow(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Waits before its headers and after its body; remembers whether the body was closed."""

    def __init__(self, *, before: float = 0, body: bytes = PARIS, after: float = 0, then: Exception | None = None):
        self._before, self._body, self._after, self._then = before, body, after, then
        self.timeouts: dict[str, float | None] = {}
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.timeouts = request.extensions["timeout"]
        await anyio.sleep(self._before)
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        await anyio.sleep(self._after)
        if self._then:
            raise self._then

    async def aclose(self) -> None:
        self.closed = True


async def test_a_cold_load_gets_its_full_time() -> None:
    """Ollama #13: a client that gives up aborts the load, so a short limit would never succeed by trying again."""
    assert recording(OLLAMA, "091_client_timeout_during_load")["extra"]["ps_3s_later"] == {"models": []}
    slow = Slow(before=600)
    assert (await a_runtime(slow).generate(a_call(ENDPOINT), Heard())).text == "Paris"
    assert slow.timeouts == {"connect": 2.0, "read": None, "write": None, "pool": 2.0}, "all limits are on connecting"


async def test_a_call_that_waits_its_turn_is_not_a_dead_one() -> None:
    """Ollama #15: no headers until the first token; the wait is the router's to limit, and nothing is heard in it."""
    heard = Heard()
    with anyio.move_on_after(300) as patience:
        await a_runtime(Slow(before=FOR_EVER)).generate(a_call(ENDPOINT), heard)
    assert patience.cancelled_caught
    assert (heard.texts, heard.signs) == ([], 0)


async def test_a_frozen_runner_is_silence_that_the_router_must_end() -> None:
    """Ollama #12: midway nothing comes, not even an empty line, until somebody gives up."""
    silent = Slow(body=answers(says("Par")).body, after=FOR_EVER)
    heard = Heard()
    with anyio.move_on_after(45) as patience:
        await a_runtime(silent).generate(a_call(ENDPOINT), heard)
    assert patience.cancelled_caught
    assert heard.texts == ["Par"]
    assert silent.closed


async def test_an_answer_that_is_done_does_not_wait_for_the_end_of_its_body() -> None:
    slow = Slow(after=FOR_EVER)
    started = anyio.current_time()
    assert (await a_runtime(slow).generate(a_call(ENDPOINT), Heard())).text == "Paris"
    assert anyio.current_time() - started < 2
    assert slow.closed


async def test_an_answer_that_is_done_survives_the_loss_of_its_connection() -> None:
    lost = httpx.ReadError("gone")
    assert (await a_runtime(Slow(then=lost)).generate(a_call(ENDPOINT), Heard())).text == "Paris"
    with pytest.raises(BrokenStreamError):
        await a_runtime(Slow(body=answers(says("Par")).body, then=lost)).generate(a_call(ENDPOINT), Heard())


async def test_a_probe_has_a_limit_of_its_own() -> None:
    started = anyio.current_time()
    with pytest.raises(StalledError):
        await a_runtime(Slow(before=FOR_EVER)).probe(ENDPOINT)
    assert anyio.current_time() - started == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectError("refused"), UnreachableError),
        (ConnectionError("the client's own text"), UnreachableError),
        (httpx.ReadTimeout("slow"), StalledError),
        (httpx.RemoteProtocolError("cut"), BrokenStreamError),
        (httpx.ReadError("reset"), BrokenStreamError),
    ],
)
async def test_a_probe_fails_with_the_connection_at_any_of_its_steps(raised: Exception, kind: type[Exception]) -> None:
    class Failing(httpx.AsyncBaseTransport):
        def __init__(self, fails: str) -> None:
            self.fails = fails

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == self.fails:
                raise raised
            return httpx.Response(404 if request.url.path == "/healthz" else 200, json={"version": "1", "models": []})

    for path in ("/healthz", "/api/version"):
        with pytest.raises(kind):
            await a_runtime(Failing(path)).probe(ENDPOINT)
    for path in ("/api/tags", "/api/ps"):
        if kind is BrokenStreamError:
            assert (await a_runtime(Failing(path)).probe(ENDPOINT)).version == "1"
        else:
            with pytest.raises(kind):
                await a_runtime(Failing(path)).probe(ENDPOINT)
