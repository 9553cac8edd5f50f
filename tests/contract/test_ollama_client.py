"""The official client raises from seven families, by accident of where it fails; each ends as an `AttemptError`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import ollama
import pytest
from pydantic import TypeAdapter, ValidationError

from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    StalledError,
    UnreachableError,
)
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import ENDPOINT, OLLAMA, a_runtime
from tests.contract.replay import RECORDINGS

pytestmark = pytest.mark.anyio

SUMMARY = json.loads((RECORDINGS / OLLAMA / "080_py_summary.json").read_text())
RAISED = {case["case"]: case["raised"] for case in SUMMARY if "raised" in case}


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    return caught.value


def again(raised: dict[str, Any]) -> Exception:
    """Return an exception like the recorded one."""
    name = raised["class"].rpartition(".")[2]
    match name:
        case "ResponseError":
            return ollama.ResponseError(json.dumps({"error": raised["error"]}), raised["status_code"])
        case "ValidationError":
            return invalid()
        case "JSONDecodeError":
            return json.JSONDecodeError(raised["str"], "", 0)
        case "ConnectionError" | "TimeoutError" | "ValueError":
            builtin = {"ConnectionError": ConnectionError, "TimeoutError": TimeoutError, "ValueError": ValueError}
            return builtin[name](raised["str"])
        case _:
            error: Exception = getattr(httpx, name)(raised["str"])
            return error


class Raising(httpx.AsyncBaseTransport):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self._error


def test_the_recordings_show_every_family() -> None:
    assert {raised["class"] for raised in RAISED.values()} == {
        "builtins.ConnectionError",
        "builtins.TimeoutError",
        "builtins.ValueError",
        "httpx.ConnectError",
        "httpx.ReadError",
        "httpx.ReadTimeout",
        "httpx.RemoteProtocolError",
        "json.decoder.JSONDecodeError",
        "ollama._types.ResponseError",
        "pydantic_core._pydantic_core.ValidationError",
    }
    assert -1 in {raised.get("status_code") for raised in RAISED.values()}


@pytest.mark.parametrize("case", sorted(RAISED))
async def test_whatever_the_client_raises_becomes_ours(case: str) -> None:
    """Ollama, section 5, and the recordings 080_py_*."""
    with pytest.raises(AttemptError) as caught:
        await a_runtime(Raising(again(RAISED[case]))).reset_cache(ENDPOINT)
    assert str(ENDPOINT) in str(caught.value)
    upstream = RAISED[case]["str"]
    assert not upstream or upstream not in str(caught.value)


@pytest.mark.parametrize("case", [case for case, raised in RAISED.items() if "ResponseError" not in raised["class"]])
async def test_whatever_a_stream_raises_becomes_ours(case: str) -> None:
    """Ollama, section 5; `ResponseError` is the client's own reader's, which streams do not pass here."""
    with pytest.raises(AttemptError):
        await a_runtime(Raising(again(RAISED[case]))).generate(a_call(ENDPOINT), Heard())


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("refused_async_chat", UnreachableError),
        ("refused_async_chat_stream", UnreachableError),
        ("bad_host_name", UnreachableError),
        ("timeout_async", StalledError),
        ("asyncio_wait_for", StalledError),
        ("server_sigkill_stream", BrokenStreamError),
        ("fake_200_html", BrokenStreamError),
        ("fake_200_wrong_shape", BrokenStreamError),
        ("fake_stream_error_line", BrokenStreamError),
        ("fake_429", OverloadedError),
        ("fake_502_html", ServerFailedError),
        ("400_bad_schema", RejectedError),
    ],
)
async def test_each_family_has_its_meaning(case: str, kind: type[AttemptError]) -> None:
    with pytest.raises(kind):
        await a_runtime(Raising(again(RAISED[case]))).reset_cache(ENDPOINT)


async def test_what_nobody_foresaw_is_not_dressed_up_as_the_servers_fault() -> None:
    with pytest.raises(ZeroDivisionError):
        await a_runtime(Raising(ZeroDivisionError())).generate(a_call(ENDPOINT), Heard())
