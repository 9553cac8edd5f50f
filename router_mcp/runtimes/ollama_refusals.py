"""What a refusal of Ollama means. Its text is read to decide and never passed on (Ollama #9, #23).

An error is a string under `error`; where llama-server refused, that string is JSON again (Ollama #7). The status
alone decides little: wrong options are a 500 (#8), a missing model file is a 400 (#23). A text counts only where
it starts with what Ollama says of this very request: after a crash, errors of earlier requests follow behind
`an error was encountered while running the model:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router_mcp.errors import (
    AttemptError,
    ContextTooLongError,
    ModelMissingError,
    ModelUnusableError,
    OverloadedError,
    RejectedError,
    UnauthorizedError,
    UnsupportedConstraintError,
)
from router_mcp.runtimes.ollama_answer import REPEAT_ERROR, looped
from router_mcp.runtimes.wire import ABOUT_THE_REQUEST, parse_json, proxy_refusal, retry_after, status_error

if TYPE_CHECKING:
    import httpx

    from router_mcp.domain import Call, Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, as far as the meaning of a refusal depends on it."""

    endpoint: Endpoint
    model: str
    context_window: int
    constrained: bool = False

    @classmethod
    def by(cls, call: Call) -> Asked:
        """Return what a chat call asked for."""
        return cls(
            endpoint=call.endpoint,
            model=call.model,
            context_window=call.context_window,
            constrained=call.constraint is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What Ollama said, unwrapped. `prompt_tokens` and `context_window` are given where llama-server counted."""

    text: str = ""
    kind: str = ""
    prompt_tokens: int | None = None
    context_window: int | None = None


def complaint(body: object) -> Complaint:
    """Read a parsed error body, whichever of the known shapes it has; empty when it has none of them."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):
        nested = parse_json(error.encode()) if error.startswith("{") else None
        if not isinstance(nested, dict):
            return Complaint(text=error)
        error = nested.get("error")
    if not isinstance(error, dict):
        return Complaint()
    return Complaint(
        text=str(error.get("message") or ""),
        kind=str(error.get("type") or ""),
        prompt_tokens=_number(error.get("n_prompt_tokens")),
        context_window=_number(error.get("n_ctx")),
    )


def refusal(asked: Asked, status: int, headers: httpx.Headers, body: bytes) -> AttemptError:
    """Return what Ollama's answer to a request means."""
    if status == 403 and not body:
        return host_refused(asked.endpoint)
    parsed = parse_json(body)
    if status in ABOUT_THE_REQUEST and not isinstance(parsed, dict):
        return proxy_refusal(asked.endpoint, status)
    said = complaint(parsed)
    if said.kind == "exceed_context_size_error":
        return _too_long(asked, said)
    for rule in _RULES:
        if rule.status == status and rule.text.match(said.text) and (asked.constrained or not rule.constrained):
            return rule.meaning(asked, said, headers)
    return status_error(asked.endpoint, status, headers)


def host_refused(endpoint: Endpoint) -> UnauthorizedError:
    """Return what a 403 without a body means: the `Host` of the URL is not one that it answers to (Ollama #21)."""
    return UnauthorizedError(
        f"{endpoint} refuses the host name of its URL (403), as an Ollama bound to loopback does. "
        "Use an IP address in the policy, or set OLLAMA_HOST where it runs to the address that clients use."
    )


def _missing(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return ModelMissingError(
        f"{asked.endpoint} has no model {asked.model!r}. Run `ollama pull {asked.model}` there, or correct served_name."
    )


def _cloud(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return ModelMissingError(
        f"{asked.endpoint} may not use {asked.model!r}, which runs in a cloud. Name a local model in the policy."
    )


def _unusable(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return ModelUnusableError(
        f"{asked.endpoint} cannot chat with {asked.model!r}: its file is missing or damaged, or it is no chat model. "
        f"Run `ollama pull {asked.model}` there."
    )


def _too_large(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return ModelUnusableError(
        f"{asked.endpoint} has too little memory for {asked.model!r}. Free some, or use a smaller model or context."
    )


def _too_long(asked: Asked, said: Complaint, _headers: httpx.Headers | None = None) -> AttemptError:
    prompt = f"The prompt of {said.prompt_tokens} tokens" if said.prompt_tokens else "The prompt"
    window = said.context_window or asked.context_window
    return ContextTooLongError(
        f"{prompt} does not fit the {window} tokens of {asked.model} on {asked.endpoint}. "
        "Shorten it, or see that context_window in the policy is no more than the model was trained for."
    )


def _unsupported(asked: Asked, said: Complaint, _headers: httpx.Headers) -> AttemptError:
    what = next((words for part, words in _UNSUPPORTED if part in said.text), "this constraint")
    return UnsupportedConstraintError(f"{asked.endpoint} cannot enforce {what}. Rewrite it, or use another model.")


def _rejected(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return RejectedError(f"{asked.endpoint} refused an option of the request. Change the arguments; others would too.")


def _looped(asked: Asked, _said: Complaint, _headers: httpx.Headers) -> AttemptError:
    return looped(asked.model)


def _busy(asked: Asked, _said: Complaint, headers: httpx.Headers) -> AttemptError:
    return OverloadedError(
        f"{asked.endpoint} has too many calls waiting for a model to load (503). Try again soon.",
        retry_after_s=retry_after(headers),
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    status: int
    text: re.Pattern[str]
    meaning: Callable[[Asked, Complaint, httpx.Headers], AttemptError]
    constrained: bool = False
    """Only where the request had a constraint."""


def _rule(status: int, text: str, meaning: Callable[..., AttemptError], *, constrained: bool = False) -> _Rule:
    return _Rule(status, re.compile(text, re.DOTALL), meaning, constrained)


_RULES = (
    _rule(404, r"model .* not found", _missing),
    _rule(400, r"invalid model name$", _missing),
    _rule(403, r"ollama cloud is disabled", _cloud),
    _rule(400, r".* does not support \w+$", _unusable),
    _rule(500, r"tensor .* exceeds file size", _unusable),
    _rule(500, r"model requires more system memory", _too_large),
    _rule(400, r"the (prompt|input length) .*context length", _too_long),
    _rule(400, r".*(JSON schema|grammar)", _unsupported, constrained=True),
    _rule(500, r"llama-server chat error: .*grammar", _unsupported, constrained=True),
    _rule(500, r"option |invalid format: ", _rejected),
    _rule(500, re.escape(REPEAT_ERROR), _looped),
    _rule(503, r"server busy", _busy),
)

_UNSUPPORTED = (
    ("Unsupported ref", "a $ref to the whole schema"),
    ("Error resolving ref", "a $ref that leads nowhere"),
    ("Pattern must start", "a pattern without ^ and $"),
    ("Unrecognized schema: true", "true as a subschema"),
    ("Unrecognized schema: false", "false as a subschema"),
    ("Unrecognized schema", "a type in this schema"),
    ("Unbalanced", "a pattern in this schema"),
)
"""Parts of llama.cpp's complaint, and our words for them (Ollama, section 4)."""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
