"""A Messages API on loopback that makes the tool calls it was told to make, so that an agent needs no model.

Each time it is asked it counts the tool results in the conversation, and answers with the next call, or with an end.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Call = tuple[str, dict[str, Any]]


class ScriptedApi:
    """What was asked of the API so far."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.tools: dict[str, Any] = {}
        """Tools that the agent showed with their schemas, by name."""
        self.system = ""
        self.messages: list[Any] = []
        """The longest conversation that was sent."""
        self.results: list[dict[str, Any]] = []
        """The tool results that the agent sent back, in order."""

    def reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the message that answers a request."""
        self.tools.update({tool["name"]: tool for tool in asked.get("tools", ()) if "name" in tool})
        self.system = max(self.system, json.dumps(asked.get("system", "")), key=len)
        self.messages = max(self.messages, asked.get("messages", []), key=len)
        results = list(_tool_results(asked))
        if len(results) > len(self.results):
            self.results = results
        if asked.get("tools") and len(results) < len(self.calls):
            name, arguments = self.calls[len(results)]
            block = {"type": "tool_use", "id": f"toolu_{len(results):04d}", "name": name, "input": arguments}
            return _message(asked, block, "tool_use")
        return _message(asked, {"type": "text", "text": "Done."}, "end_turn")

    def texts(self) -> list[str]:
        """Return the results as the model would read them."""
        return [_text(result["content"]) for result in self.results]


@contextmanager
def serving(api: ScriptedApi) -> Generator[str]:
    """Serve the API while the block lasts, and yield its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
            if self.path.partition("?")[0].endswith("/count_tokens"):
                self._send("application/json", json.dumps({"input_tokens": 1}))
            elif asked.get("stream"):
                self._send("text/event-stream", "".join(_events(api.reply(asked))))
            else:
                self._send("application/json", json.dumps(api.reply(asked)))

        def _send(self, kind: str, body: str) -> None:
            data = body.encode()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _tool_results(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in asked.get("messages", ()):
        if message["role"] == "user" and isinstance(message["content"], list):
            yield from (block for block in message["content"] if block.get("type") == "tool_result")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _message(asked: dict[str, Any], block: dict[str, Any], why: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.get("model"),
        "content": [block],
        "stop_reason": why,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _events(message: dict[str, Any]) -> Iterator[str]:
    """Cut a message into the events of a stream."""
    [block] = message["content"]
    if block["type"] == "text":
        empty: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    begun = {**message, "content": [], "stop_reason": None}
    for event in (
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
