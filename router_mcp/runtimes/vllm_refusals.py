"""What a refusal of vLLM means. Its text is read to decide and never passed on (vLLM B1 #20, B2).

Five error shapes are known: an object under `error` (semantic, and pydantic's with type "Bad Request"), a
bare string there, `{"detail"}` for unknown routes, and the flat object of releases before 0.10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router_mcp.errors import (
    AttemptError,
    ContextTooLongError,
    ModelMissingError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnsupportedConstraintError,
)
from router_mcp.runtimes.wire import ABOUT_THE_REQUEST, Headers, proxy_refusal, retry_after, status_error

if TYPE_CHECKING:
    from router_mcp.domain import Call, Endpoint

_WINDOW = re.compile(r"maximum context length is (\d+) tokens|max_model_len=(\d+)")
_PROMPT = re.compile(r"contains(?: at least)? (\d+) input tokens")
_CONSTRAINT = re.compile(r"grammar|schema|regex|structured|guided|guidance|outlines|choice|constraint", re.IGNORECASE)
_KEYWORD = re.compile(
    r'"(const|contains|dependencies|else|enum|if|items|maximum|minimum|not|pattern|then|type)"|Unknown (format):'
    r"|\b(additional(?:Items|Properties)|allOf|anyOf|dependent(?:Required|Schemas)|exclusiveM(?:ax|in)imum"
    r"|m(?:ax|in)(?:Contains|Items|Length|Properties)|multipleOf|oneOf|patternProperties|prefixItems|propertyNames"
    r"|unevaluated(?:Items|Properties)|uniqueItems)\b"
)
"""Only these words of an engine's complaint are repeated; they are the JSON Schema's, not the engine's."""
_ARGUMENTS = frozenset({"cache_salt", "max_tokens", "messages", "priority", "seed", "stop", "temperature"})


@dataclass(frozen=True, slots=True)
class _Complaint:
    message: str = ""
    kind: str = ""
    param: str = ""


def refusal(call: Call, status: int, headers: Headers, body: object) -> AttemptError:
    """Return what vLLM's answer to `call` means; `body` is its parsed JSON, or `None`."""
    complaint = _read(body)
    endpoint = call.endpoint
    if status in ABOUT_THE_REQUEST and not isinstance(body, dict):
        return proxy_refusal(endpoint, status)
    if status == 400:
        return _bad_request(call, complaint)
    if status == 404 and complaint.kind == "NotFoundError":
        return ModelMissingError(
            f"{endpoint} has no model {call.model!r}. Start it with --served-model-name, or correct served_name."
        )
    if status == 503 and complaint.kind:  # a proxy's 503 has no such body, and means that the server is gone
        return OverloadedError(f"{endpoint} has a full queue (503).", retry_after_s=retry_after(headers))
    if status == 500:
        return _internal(call, complaint)
    return status_error(endpoint, status, headers)


def _read(body: object) -> _Complaint:
    if not isinstance(body, dict):
        return _Complaint()
    error = body if body.get("object") == "error" else body.get("error")
    if not isinstance(error, dict):
        return _Complaint()
    return _Complaint(str(error.get("message") or ""), str(error.get("type") or ""), str(error.get("param") or ""))


def _bad_request(call: Call, complaint: _Complaint) -> AttemptError:
    endpoint = call.endpoint
    if window := _WINDOW.search(complaint.message):
        return _too_long(endpoint, window[1] or window[2], _PROMPT.search(complaint.message))
    if call.constraint is not None and _CONSTRAINT.search(complaint.message):
        return _unsupported(endpoint, complaint.message)
    argument = complaint.param.removeprefix("body.").partition(".")[0]
    named = f" because of {argument!r}" if argument in _ARGUMENTS else ""
    return RejectedError(f"{endpoint} refused the request{named} (400). Change the arguments; others would too.")


def _too_long(endpoint: Endpoint, window: str, prompt: re.Match[str] | None) -> ContextTooLongError:
    has = f", and the prompt has {prompt[1]} or more" if prompt else ""
    return ContextTooLongError(
        f"{endpoint} has a context window of {window} tokens{has}. Shorten the prompt or the output limit, "
        "and see that context_window in the policy is what the server was started with."
    )


def _unsupported(endpoint: Endpoint, message: str) -> UnsupportedConstraintError:
    keywords = ", ".join(sorted({"".join(found) for found in _KEYWORD.findall(message)}))
    what = f"{keywords} in this constraint" if keywords else "this constraint"
    return UnsupportedConstraintError(f"{endpoint} cannot enforce {what}. Simplify it, or use another model.")


def _internal(call: Call, complaint: _Complaint) -> AttemptError:
    endpoint = call.endpoint
    if complaint.message == "Internal server error" and call.constraint is not None:
        # The engine is well and answers the next call: its structured back end choked on this one (vLLM B1 #1).
        return _unsupported(endpoint, "")
    if "after shutdown" in complaint.message:
        return ServerFailedError(f"{endpoint} is shutting down (500). Start it again if that was not meant.")
    if "EngineCore" in complaint.message:
        return ServerFailedError(f"The engine of {endpoint} has died (500). Look at its log, and start it again.")
    return ServerFailedError(f"{endpoint} failed (500). Look at its log.")
