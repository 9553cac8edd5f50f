"""The GenAI conventions of OpenTelemetry, as attributes of our facts. Pure.

They live in `open-telemetry/semantic-conventions-genai` and are all in development; the tests check every
`gen_ai.*` name used here against the package `opentelemetry-semantic-conventions`. What they have no word for is
named `router_mcp.*`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from router_mcp.domain import Completion, Endpoint, JsonSchema, Message, RuntimeKind
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted

Attributes: TypeAlias = dict[str, str | int | float | bool | list[str]]

PROVIDERS: Mapping[RuntimeKind, str] = {"vllm": "vllm", "ollama": "ollama", "embedded": "llama_cpp"}
"""None of them is among the names that the conventions know; own names are allowed."""
_PORTS = {"http": 80, "https": 443}


def common(started: AttemptStarted) -> Attributes:
    """Return what spans and metrics of an attempt share."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS[started.kind],
        "gen_ai.request.model": started.model,
        **server(started.call.endpoint),
    }


@lru_cache(512)
def server(endpoint: Endpoint) -> Mapping[str, str | int]:
    """Return the address of an endpoint; an embedded runtime has none."""
    parts = urlsplit(endpoint.url)
    if not parts.hostname:
        return {}
    return {"server.address": parts.hostname, "server.port": parts.port or _PORTS.get(parts.scheme, 80)}


def asked(started: AttemptStarted) -> Attributes:
    """Return what is known of an attempt when it starts."""
    call = started.call
    attributes = common(started) | {
        "gen_ai.request.temperature": call.temperature,
        "gen_ai.request.max_tokens": call.max_output_tokens,
        "gen_ai.request.stream": True,
        "router_mcp.request_id": call.request_id,
        "router_mcp.attempt": started.attempt,
    }
    if isinstance(call.constraint, JsonSchema):
        attributes["gen_ai.output.type"] = "json"
    if call.seed is not None:
        attributes["gen_ai.request.seed"] = call.seed
    if call.stop:
        attributes["gen_ai.request.stop_sequences"] = list(call.stop)
    return attributes


def answered(ended: AttemptEnded) -> Attributes:
    """Return what an attempt's end adds."""
    attributes: Attributes = {}
    if ended.completion is not None:
        attributes |= {
            "gen_ai.response.model": ended.started.call.model,
            "gen_ai.response.finish_reasons": [ended.completion.finish_reason],
            "gen_ai.usage.input_tokens": ended.completion.usage.input_tokens,
            "gen_ai.usage.output_tokens": ended.completion.usage.output_tokens,
        }
    if ended.outcome != "ok":
        attributes["error.type"] = ended.outcome
    return attributes


def input_messages(messages: tuple[Message, ...]) -> str:
    """Return a prompt in the conventions' structure, as JSON: span attributes take nothing deeper than a list."""
    return _json([{"role": each.role, "parts": [_text(each.content)]} for each in messages])


def output_messages(completion: Completion) -> str:
    """Return an answer in the conventions' structure, as JSON."""
    said = {"role": "assistant", "parts": [_text(completion.text)], "finish_reason": completion.finish_reason}
    return _json([said])


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
