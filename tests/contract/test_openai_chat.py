"""The stream reader on streams that were recorded, and on such as no good server sends."""

from __future__ import annotations

import gzip
from typing import Any

import anyio
import httpx
import pytest

from router_mcp.domain import Completion, Endpoint, Usage
from router_mcp.errors import AttemptError, BrokenStreamError, RejectedError, ServerFailedError
from router_mcp.runtimes.openai_chat import MAX_LINE, TAIL_S, stream_chat
from router_mcp.runtimes.wire import Headers
from tests.clock import JumpingLoop
from tests.contract.calls import Heard
from tests.contract.replay import Pieces, exchanges, recording
from tests.contract.sockets import event

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint(runtime="test", url="http://runtime.test")
SSE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
WHOLE = event("whole", "stop") + DONE
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}  # there are no sockets in this file


class Hanging(Pieces):
    """A body that never ends."""

    async def __aiter__(self) -> Any:
        async for piece in super().__aiter__():
            yield piece
        await anyio.sleep_forever()


def refused(status: int, headers: Headers, body: object) -> AttemptError:
    return RejectedError(f"{status} {headers.get('retry-after')} {body}")


async def read(
    body: bytes | httpx.AsyncByteStream, *, status: int = 200, heard: Heard | None = None, headers: Any = None
) -> Completion:
    stream = Pieces(body, 65_536) if isinstance(body, bytes) else body
    answer = httpx.Response(status, headers={"content-type": SSE, **(headers or {})}, stream=stream)
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer))
    return await stream_chat(client, f"{ENDPOINT.url}/chat", {}, {}, ENDPOINT, heard or Heard(), refused)


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65_536])
async def test_a_recorded_stream_is_read_however_it_is_cut(size: int) -> None:
    heard = Heard()
    completion = await read(Pieces(exchanges("vllm-0.32.0", "chat_stream_usage")[0].body, size), heard=heard)
    usage = Usage(input_tokens=37, output_tokens=8)
    assert completion == Completion(text="The capital of France is Paris.", finish_reason="stop", usage=usage)
    assert heard.texts == ["The", " capital", " of", " France", " is", " Paris", "."]


@pytest.mark.parametrize("size", [1, 2, 5, 65_536])
async def test_characters_of_many_bytes_survive_cuts(size: int) -> None:
    body = event("naïve ☂ 🦊 ", "stop").replace(b"\n", b"\r\n")
    assert (await read(Pieces(body, size))).text == "naïve ☂ 🦊 "


async def test_the_last_token_may_ride_with_the_finish_reason() -> None:
    completion = await read(exchanges("vllm-0.32.0", "chat_stream_length")[0].body)
    assert completion.finish_reason == "length"
    assert completion.text


async def test_comments_and_other_fields_are_no_progress() -> None:
    """vLLM B1 #3: a server that only says that it lives may never answer; the router must see the silence."""
    heard = Heard()
    kept_alive = exchanges("vllm-0.32.0", "sse_keep_alive")[0].body
    assert kept_alive.count(b": keep-alive") > 10
    await read(b"event: message\nid: 4\nretry: 100\n:\n" + kept_alive, heard=heard)
    assert len(heard.texts) < 10
    assert heard.signs == 0


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_reasoning_is_a_sign_of_life_and_no_text(field: str) -> None:
    heard = Heard()
    thought = b'data: {"choices":[{"delta":{"%s":"hm"},"finish_reason":null}]}\n\n' % field.encode()
    completion = await read(thought * 3 + WHOLE, heard=heard)
    assert (heard.signs, heard.texts, completion.text) == (3, ["whole"], "whole")


async def test_data_without_a_space_after_the_colon_is_data() -> None:
    assert (await read(WHOLE.replace(b"data: ", b"data:"))).text == "whole"


async def test_a_compressed_stream_is_unpacked() -> None:
    assert (await read(gzip.compress(WHOLE), headers={"content-encoding": "gzip"})).text == "whole"


@pytest.mark.parametrize(
    "usage", [b"null", b'"many"', b"{}", b'{"prompt_tokens":"3","completion_tokens":-1}'], ids=bytes.decode
)
async def test_a_lost_count_does_not_lose_the_answer(usage: bytes) -> None:
    completion = await read(event("whole", "stop") + b'data: {"choices":[],"usage":%s}\n\n' % usage)
    assert (completion.text, completion.usage) == ("whole", Usage())


async def test_an_answer_without_a_word_is_complete_if_it_says_so() -> None:
    assert (await read(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')).text == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        DONE,
        event("half"),
        event("half") + DONE,
        event("half") + USAGE + DONE,
        event("whole", "stop").rstrip(b"\n"),
        event("half", "abort"),
        event("half", "error"),
        event("half", "content_filter"),
        event("half") + b'data: {"choi',
        event("half") + b"data: {not json}\n\n",
        event("half") + b"data: \xff\xfe\n\n",
        event("half") + b"garbage\n" + WHOLE,
        b"<html>hello</html>\n" + WHOLE,
        b"data: []\n\n" + WHOLE,
        b'data: "text"\n\n' + WHOLE,
        b'data: {"choices":"x"}\n\n' + WHOLE,
        b'data: {"choices":["x"]}\n\n' + WHOLE,
        b'data: {"choices":[{"delta":null}]}\n\n' + WHOLE,
        b'data: {"choices":[{"delta":{"content":["x"]}}]}\n\n' + WHOLE,
        b'data: {"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}\n\n',
    ],
)
async def test_what_did_not_end_well_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        await read(body)


@pytest.mark.parametrize("name", ["lifecycle_kill_enginecore", "lifecycle_kill_worker"])
async def test_a_dying_engine_does_not_pass_for_a_good_end(name: str) -> None:
    """vLLM B1 #2: status 200, an error event, and then `[DONE]` as after a good answer."""
    lines = recording("vllm-0.32.0", name)["response"]["inflight"]["inflight_stream"]["sse"]
    assert "data: [DONE]" in lines[-3:]
    with pytest.raises(BrokenStreamError, match="reported a failure within its answer"):
        await read("".join(f"{line}\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (b'{"message":"too long","code":400}', RejectedError),
        (b'{"message":"dead","code":500}', BrokenStreamError),
        (b'{"message":"odd","code":"400"}', BrokenStreamError),
        (b'"Unauthorized"', BrokenStreamError),
        (b"{}", BrokenStreamError),
    ],
    ids=["400", "500", "text", "bare", "empty"],
)
async def test_an_error_event_before_any_text_is_a_refusal_if_it_has_a_4xx_code(
    error: bytes, kind: type[AttemptError]
) -> None:
    with pytest.raises(AttemptError) as caught:
        await read(b'data: {"error":%s}\n\n' % error + DONE)
    assert type(caught.value) is kind
    assert "dead" not in str(caught.value)


async def test_an_error_event_after_text_is_a_broken_answer_whatever_its_code() -> None:
    with pytest.raises(BrokenStreamError):
        await read(event("half") + b'data: {"error":{"code":400}}\n\n')


async def test_an_error_of_null_is_none() -> None:
    assert (await read(WHOLE.replace(b'{"choices"', b'{"error":null,"choices"'))).text == "whole"


@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8", "", "text/event-stream-not"])
async def test_another_content_type_is_broken_whatever_is_in_it(kind: str) -> None:
    with pytest.raises(BrokenStreamError, match="not an event stream"):
        await read(WHOLE, headers={"content-type": kind})


async def test_a_whole_completion_is_no_answer_to_a_stream() -> None:
    plain = exchanges("vllm-0.32.0", "chat_basic")[0]
    with pytest.raises(BrokenStreamError, match="not an event stream"):
        await read(plain.body, headers=dict(plain.headers))


async def test_a_line_without_end_is_given_up() -> None:
    class Endless(httpx.AsyncByteStream):
        sent = 0

        async def __aiter__(self) -> Any:
            while True:
                self.sent += 2**20
                yield b"data: " + b"x" * 2**20

    stream = Endless()
    with pytest.raises(BrokenStreamError, match="line without end"):
        await read(stream)
    assert stream.sent <= MAX_LINE + 2**20


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_tells_to_correct_the_url(status: int) -> None:
    with pytest.raises(ServerFailedError, match="Correct its URL"):
        await read(b"", status=status, headers={"location": "http://elsewhere.test/"})


async def test_a_refusal_is_judged_with_status_headers_and_body() -> None:
    with pytest.raises(RejectedError, match=r"429 7 \{'error': 'slow down'\}"):
        await read(b'{"error":"slow down"}', status=429, headers={"retry-after": "7"})


async def test_the_tail_of_a_complete_answer_is_not_waited_for_long() -> None:
    started = anyio.current_time()
    completion = await read(Hanging(event("whole", "stop"), 65_536))
    assert completion.text == "whole"
    assert anyio.current_time() - started == pytest.approx(TAIL_S, abs=0.2)


async def test_a_stream_that_hangs_is_for_the_caller_to_end() -> None:
    """vLLM B1 #3: after SIGTERM it never answers calls in flight; the router's limits end them."""
    heard = Heard()
    with anyio.move_on_after(120) as limit:
        await read(Hanging(event("half"), 65_536), heard=heard)
    assert limit.cancelled_caught
    assert heard.texts == ["half"]


@pytest.mark.parametrize("value", ["\ud800", 2**70], ids=["surrogate", "integer"])
async def test_a_request_that_json_cannot_carry_is_rejected_unsent(value: object) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: pytest.fail("sent")))
    with pytest.raises(RejectedError, match="JSON cannot carry"):
        await stream_chat(client, "http://x.test", {"prompt": value}, {}, ENDPOINT, Heard(), refused)


async def test_it_asks_for_a_stream_with_usage_and_no_compression() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers={"content-type": SSE}, stream=Pieces(WHOLE, 99))

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await stream_chat(client, "http://x.test/chat", {"a": 1}, {"x-id": "7"}, ENDPOINT, Heard(), refused)
    assert seen[0].content == b'{"a":1,"stream":true,"stream_options":{"include_usage":true}}'
    assert seen[0].headers["accept-encoding"] == "identity"
    assert seen[0].headers["x-id"] == "7"
