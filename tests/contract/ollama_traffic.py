"""What Ollama once said, put before our adapter. `r` in a name is its rendered route, `n` its native one."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Call, Completion, Endpoint, JsonSchema, Message
from router_mcp.errors import AttemptError
from router_mcp.runtimes.ollama import OllamaRuntime
from tests.contract.calls import Heard, a_call
from tests.contract.replay import Exchange, Replay, exchanges, recording

OLLAMA = "ollama-0.32.15"
ENDPOINT = Endpoint(runtime="ollama", url="http://127.0.0.1:11434")
ASKED = ("model", "messages", "format")
"""What of our request must be as recorded; the rest is the adapter's own choice, and has tests of its own."""


def a_runtime(transport: httpx.AsyncBaseTransport, *, api_key: str | None = None, **config: Any) -> OllamaRuntime:
    """Return the adapter on a transport, for `ENDPOINT` or the given `endpoints`."""
    settings = RuntimeConfig(kind="ollama", **({"endpoints": (ENDPOINT.url,)} | config))
    return OllamaRuntime(settings, transport, connect_s=2.0, probe_timeout_s=2.0, api_key=api_key)


def exchange(name: str) -> Exchange:
    """Return a recording's one exchange; of a raw one, the whole lines at the end of its body."""
    raw = recording(OLLAMA, name)["response"]
    if "raw_head" not in raw:
        (one,) = exchanges(OLLAMA, name)
        return one
    status, *fields = raw["raw_head"].split("\r\n")
    body = "".join(f"{line}\n" for line in raw["raw_tail"].splitlines() if line.startswith("{"))
    headers = tuple((name, value) for name, _, value in (field.partition(": ") for field in fields))
    kept = tuple(pair for pair in headers if pair[0] != "Transfer-Encoding")
    return Exchange("POST", "/api/chat", {}, int(status.split()[1]), kept, body.encode())


def call_of(asked: dict[str, Any], **changes: Any) -> Call:
    """Return the call that makes a recorded request again."""
    options = asked.get("options", {})
    schema = asked.get("format")
    recorded: dict[str, Any] = {
        "model": asked.get("model", "smollm2:135m"),
        "messages": tuple(Message(**message) for message in asked.get("messages", ())),
        "temperature": options.get("temperature", 0.0),
        "max_output_tokens": options.get("num_predict", 64),
        "context_window": options.get("num_ctx", 4096),
        "seed": options.get("seed"),
        "constraint": JsonSchema(schema) if isinstance(schema, dict) else None,
    }
    return a_call(ENDPOINT, **(recorded | changes))


async def replayed(name: str, *, piece: int = 65_536, heard: Heard | None = None, **changes: Any) -> Completion:
    """Make the recorded call, and return what the adapter makes of the recorded answer."""
    one = exchange(name)
    keys = [key for key in ASKED if one.json.get("messages") and not (key == "format" and "constraint" in changes)]
    runtime = a_runtime(Replay([one], keys=keys, piece=piece))
    return await runtime.generate(call_of(one.json, **changes), heard or Heard())


async def failed(name: str, **changes: Any) -> AttemptError:
    """Make the recorded call, and return the error that it ends in; nothing that Ollama said may be in it."""
    with pytest.raises(AttemptError) as caught:
        await replayed(name, **changes)
    assert not leaked(str(caught.value), exchange(name).body)
    return caught.value


def leaked(message: str, body: bytes) -> list[str]:
    """List the runs of five words that a message shares with what the server said."""
    words = body.decode().replace("\\", "").split()
    runs = (" ".join(words[start : start + 5]) for start in range(max(0, len(words) - 4)))
    return [run for run in runs if run in message]


def answers(*lines: dict[str, Any], status: int = 200) -> Exchange:
    """Return an exchange that no recording has, with these NDJSON lines."""
    body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return Exchange("POST", "/api/chat", {}, status, (("Content-Type", "application/x-ndjson"),), body.encode())


def says(text: str, **message: Any) -> dict[str, Any]:
    """Return one line of a stream."""
    return {"message": {"role": "assistant", "content": text, **message}, "done": False}


def ends(reason: str | None = "stop", **counts: int) -> dict[str, Any]:
    """Return the last line of a stream."""
    line = {"message": {"role": "assistant", "content": ""}, "done": True, **counts}
    return line if reason is None else line | {"done_reason": reason}
