"""What real runtimes said, as bytes for a socket: the answers of the fakes are the recordings of the contract tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.contract.replay import Exchange, exchanges, recording

VLLM, OLLAMA = "vllm-0.32.0", "ollama-0.32.15"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one kind of runtime speaks."""

    chat_path: str
    stream: Exchange
    """A whole answer, as it was streamed."""
    cut_at: int
    """Bytes of the stream after which an answer has begun and is far from its end."""
    terminator: bytes
    """Where the end of the answer begins; without it an answer is not complete."""
    refusals: Mapping[str, Exchange]
    """What it says by way of `unauthorized`, `missing`, `failed` and `full`."""
    pages: Mapping[str, Exchange]
    """What it answers to requests that generate nothing; any other path is `pages["unknown"]`."""

    @property
    def pieces(self) -> list[bytes]:
        """The stream in the pieces in which it was sent."""
        end = b"\n\n" if b"\n\n" in self.stream.body else b"\n"
        return [piece + end for piece in self.stream.body.split(end) if piece]


def _one(runtime: str, name: str) -> Exchange:
    return exchanges(runtime, name)[0]


def _busy_ollama() -> Exchange:
    """Return the 503 among the answers to many calls at once."""
    told = next(each for each in recording(OLLAMA, _BUSY)["response"]["all"] if each["status"] == 503)
    return Exchange("POST", "/api/chat", None, 503, (("Content-Type", "application/json"),), told["body"].encode())


_BUSY = "055b_overload_other_model_max_queue_1"

VLLM_WIRE = Wire(
    chat_path="/v1/chat/completions",
    stream=_one(VLLM, "chat_stream_usage"),
    cut_at=_one(VLLM, "chat_stream_usage").body.index(b" of"),
    terminator=b'"finish_reason":"stop"',
    refusals={
        "unauthorized": _one(VLLM, "auth_none"),
        "missing": _one(VLLM, "err_unknown_model"),
        "failed": _one(VLLM, "keepalive_on_engine_death_chat"),
        "full": _one(VLLM, "admission_503"),
    },
    pages={
        "/health": _one(VLLM, "health"),
        "/v1/models": _one(VLLM, "models"),
        "/version": _one(VLLM, "version"),
        "/metrics": _one(VLLM, "metrics"),
        "unknown": _one(VLLM, "err_path_unknown"),
    },
)
OLLAMA_WIRE = Wire(
    chat_path="/api/chat",
    stream=_one(OLLAMA, "014_chat_stream"),
    cut_at=_one(OLLAMA, "014_chat_stream").body.index(b" of"),
    terminator=b'"done":true',
    refusals={
        "unauthorized": _one(VLLM, "auth_none"),  # Ollama has no keys: this is a proxy before it
        "missing": _one(OLLAMA, "020b_unknown_model_chat_stream"),
        "failed": _one(OLLAMA, "095_runner_binary_missing"),
        "full": _busy_ollama(),
    },
    pages={
        "/api/version": _one(OLLAMA, "004_get_version"),
        "/api/tags": _one(OLLAMA, "005_get_tags"),
        "/api/ps": _one(OLLAMA, "012_get_ps_after_load"),
        "unknown": _one(OLLAMA, "003_get_healthz"),
    },
)
WIRES = {"vllm": VLLM_WIRE, "ollama": OLLAMA_WIRE}
MODELS = {"vllm": "mixtral-8x7b-instruct", "ollama": "llama3.1-8b-instruct", "embedded": "smollm2-135m-instruct"}
"""A model of the catalog, by kind; the recorded runtimes list theirs."""


def text_of(wire: Wire) -> str:
    """Return the text of the recorded answer, so that one that was spliced or cut shows."""
    said: list[str] = []
    for piece in wire.pieces:
        line = piece.removeprefix(b"data: ").strip()
        if line == b"[DONE]":
            continue
        event = json.loads(line)
        if "message" in event:
            said.append(event["message"]["content"])
        elif event["choices"]:
            said.append(event["choices"][0]["delta"].get("content") or "")
    return "".join(said)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a status line and headers."""
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def reply(exchange: Exchange, **more: str) -> bytes:
    """Return a recorded answer whole, with its true length and `more` headers."""
    headers = dict(exchange.headers) | {"content-length": str(len(exchange.body))} | more
    return head(exchange.status, headers) + exchange.body


def without_models(page: Exchange) -> Exchange:
    """Return a page on which the models have other names."""
    body = page.body
    for name in MODELS.values():
        body = body.replace(name.encode(), b"another")
    return replace(page, body=body)


def metrics(running: int, tokens: int) -> Exchange:
    """Return vLLM's metrics as recorded, but for these two numbers."""
    page = VLLM_WIRE.pages["/metrics"]
    body = re.sub(rb"^(vllm:num_requests_running\S*) \S+", rb"\1 %d.0" % running, page.body, flags=re.MULTILINE)
    body = re.sub(rb"^(vllm:generation_tokens_total\S*) \S+", rb"\1 %d.0" % tokens, body, flags=re.MULTILINE)
    return replace(page, body=body)
