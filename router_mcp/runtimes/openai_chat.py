"""The streaming chat call that vLLM and llama.cpp share, read so that no broken answer passes for a good one.

A stream that ends in silence, in `[DONE]` without a finish reason, or in an error event is a failure even
though its status is 200 (vLLM B1 #2). Only a finish reason that was seen makes an answer complete.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
import orjson

from router_mcp.domain import Completion, Usage
from router_mcp.errors import AttemptError, BrokenStreamError, RejectedError, ServerFailedError
from router_mcp.runtimes.wire import CUT, Client, Headers, Response, foreign_errors, parse_json, read_error_body

if TYPE_CHECKING:
    from router_mcp.domain import Endpoint, Listener

OnError: TypeAlias = Callable[[int, Headers, object], AttemptError]
"""What a refusal means on one runtime: status, headers and the parsed body (`None` when it is no JSON)."""

MAX_LINE = 8 * 1024 * 1024
"""Bytes that one event may take; a runtime that sends more without a line end is broken."""
TAIL_S = 1.0
"""Usage and the end of the body follow the finish reason at once. The answer does not wait longer for them."""


async def stream_chat(  # noqa: PLR0913, PLR0917 - none of these belong together
    client: Client,
    url: str,
    body: dict[str, Any],
    headers: dict[str, str],
    endpoint: Endpoint,
    listener: Listener,
    on_error: OnError,
) -> Completion:
    """POST a chat completion as a stream, tell `listener` each delta, and return the complete answer.

    Any status but 200 becomes what `on_error` makes of it; so does a 4xx error event before the first
    text. Whatever else goes wrong is an `AttemptError` too. Cancelling closes the connection.
    """
    sent = {"accept": "text/event-stream", "accept-encoding": "identity", "content-type": "application/json"}
    content = _encode({**body, "stream": True, "stream_options": {"include_usage": True}})
    with foreign_errors(endpoint):
        async with client.stream("POST", url, content=content, headers=sent | headers) as response:
            if response.status_code != HTTPStatus.OK:
                raise await _refusal(response, endpoint, on_error)
            stream = ChatStream(endpoint, listener, lambda status, event: on_error(status, response.headers, event))
            await _read(response, stream)
        return stream.completion()


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        message = "The request holds what JSON cannot carry. Remove lone surrogates and integers beyond 64 bits."
        raise RejectedError(message) from error


async def _refusal(response: Response, endpoint: Endpoint, on_error: OnError) -> AttemptError:
    status = response.status_code
    if status < 400:
        return ServerFailedError(f"{endpoint} answers with a redirect ({status}). Correct its URL in the policy.")
    return on_error(status, response.headers, parse_json(await read_error_body(response)))


async def _read(response: Response, stream: ChatStream) -> None:
    stream.check_type(response.headers.get("content-type", ""))
    with anyio.CancelScope() as tail:
        try:
            async for chunk in response.aiter_bytes():
                was_finished = stream.finished
                stream.feed(chunk)
                if stream.finished and not was_finished:
                    tail.deadline = anyio.current_time() + TAIL_S
        except CUT:
            if not stream.finished:  # a complete answer stays one, however its connection ends
                raise


class ChatStream:
    """Bytes of one event stream in, text to the listener, a completion at the end. Does no I/O itself."""

    __slots__ = ("_endpoint", "_finish", "_held", "_held_bytes", "_listener", "_refusal", "_texts", "_usage")

    def __init__(self, endpoint: Endpoint, listener: Listener, refusal: Callable[[int, object], AttemptError]) -> None:
        self._endpoint = endpoint
        self._listener = listener
        self._refusal = refusal
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._texts: list[str] = []
        self._finish: Literal["stop", "length"] | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._finish is not None

    def check_type(self, content_type: str) -> None:
        """Raise unless the answer is an event stream; a whole JSON completion or a web page is not one."""
        if content_type.partition(";")[0].strip().lower() != "text/event-stream":
            raise self._broken("answered with something that is not an event stream")

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come off the wire; lines and characters may be cut anywhere."""
        lines = chunk.split(b"\n")
        if len(lines) > 1:
            if self._held:
                lines[0] = b"".join((*self._held, lines[0]))
                self._held.clear()
                self._held_bytes = 0
            for line in lines[:-1]:
                self._line(line)
        if rest := lines[-1]:
            self._held.append(rest)
            self._held_bytes += len(rest)
            if self._held_bytes > MAX_LINE:
                raise self._broken("sent a line without end")

    def completion(self) -> Completion:
        """Return the whole answer; raise when the stream ended before it said how it finished."""
        if self._finish is None:
            raise self._broken("ended its answer without a finish reason")
        return Completion(text="".join(self._texts), finish_reason=self._finish, usage=self._usage)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data != b"[DONE]":
                self._event(orjson.loads(data))
        elif line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            raise self._broken("sent a line that is no event")

    def _event(self, event: Any) -> None:
        if not isinstance(event, dict):
            raise self._broken("sent an event that is not an object")
        if event.get("error") is not None:
            raise self._failure(event)
        if isinstance(usage := event.get("usage"), dict):
            self._usage = Usage(
                input_tokens=_count(usage.get("prompt_tokens")), output_tokens=_count(usage.get("completion_tokens"))
            )
        if choices := event.get("choices"):
            self._choice(choices[0] if isinstance(choices, list) else None)

    def _choice(self, choice: Any) -> None:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            raise self._broken("sent an event without a delta")
        if text := delta.get("content"):
            if not isinstance(text, str):
                raise self._broken("sent content that is not text")
            self._texts.append(text)
            self._listener.text(text)
        elif delta.get("reasoning") or delta.get("reasoning_content"):
            self._listener.alive()
        if reason := choice.get("finish_reason"):
            if reason not in {"stop", "length"}:
                raise self._broken("gave up its answer midway")
            self._finish = reason

    def _failure(self, event: dict[str, Any]) -> AttemptError:
        error = event["error"]
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and 400 <= code < 500 and not self._texts:
            return self._refusal(code, event)
        return self._broken("reported a failure within its answer")

    def _broken(self, what: str) -> BrokenStreamError:
        return BrokenStreamError(f"{self._endpoint} {what}. Look at its log, and check its URL in the policy.")


def _count(value: object) -> int:
    """Return a token count, or 0 for what is none: a lost count is no reason to lose the answer."""
    return value if isinstance(value, int) and value > 0 else 0
