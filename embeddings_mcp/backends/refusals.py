"""What the refusal of an embeddings server means. Its text is read to decide and never passed on (Ollama #9).

Servers agree on little. A text that is too long is a 400 for Ollama and vLLM, a 413 for Text Embeddings Inference
(TEI) and a 400 or 500 for llama.cpp; a batch of too many texts is a 413 or 422 for TEI; a vector of NaN is a 500 for
Ollama, whose JSON cannot hold one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embeddings_mcp.errors import BadVectorError, PayloadTooLargeError, TextTooLongError
from router_mcp.errors import AttemptError, ModelMissingError, ServerFailedError, UnauthorizedError
from router_mcp.runtimes.ollama_refusals import Complaint, complaint
from router_mcp.runtimes.wire import parse_json, status_error

if TYPE_CHECKING:
    import httpx

    from embeddings_mcp.domain import Batch


@dataclass(frozen=True, slots=True)
class Rule:
    """A status, a pattern that the text must match, and what both together mean."""

    statuses: frozenset[int]
    text: re.Pattern[str]
    meaning: Callable[[Batch, Complaint], AttemptError]


def refusal(batch: Batch, status: int, headers: httpx.Headers, body: bytes) -> AttemptError:
    """Return what an answer other than 200 to a batch means."""
    said = _said(body)
    text = f"{said.kind} {said.text}".lower()
    for rule in _RULES:
        if status in rule.statuses and rule.text.search(text):
            return rule.meaning(batch, said)
    return status_error(batch.endpoint, status, headers)


def _said(body: bytes) -> Complaint:
    parsed = parse_json(body)
    said = complaint(parsed)
    if not said.text and isinstance(parsed, dict) and isinstance(parsed.get("message"), str):  # TEI and older vLLM
        return Complaint(text=parsed["message"], kind=str(parsed.get("type") or ""))
    return said


def _too_long(batch: Batch, said: Complaint) -> AttemptError:
    message = f"{batch.endpoint} says that a text is longer than {batch.model} takes. Shorten it."
    counted = _COUNTED.search(said.text)
    tokens = said.prompt_tokens or (int(counted[1]) if counted else None)
    return TextTooLongError(message, tokens={0: tokens} if tokens and len(batch.texts) == 1 else None)


def _too_many(batch: Batch, _said: Complaint) -> AttemptError:
    count = len(batch.texts)
    return PayloadTooLargeError(
        f"{batch.endpoint} refuses {count} texts at once. Lower batch_size in the configuration."
    )


def _not_a_number(batch: Batch, _said: Complaint) -> AttemptError:
    return BadVectorError(f"{batch.model} on {batch.endpoint} computed NaN.", reason="the model computes NaN for it")


def _missing(batch: Batch, _said: Complaint) -> AttemptError:
    message = f"{batch.endpoint} does not have the model {batch.model!r}."
    return ModelMissingError(f"{message} Load it there (Ollama: `ollama pull {batch.model}`), or correct served_name.")


def _no_embeddings(batch: Batch, _said: Complaint) -> AttemptError:
    message = f"{batch.model!r} on {batch.endpoint} is not an embedding model."
    return ModelMissingError(f"{message} Correct served_name, or for a GGUF file set pooling.")


def _wrong_host(batch: Batch, _said: Complaint) -> AttemptError:
    message = f"{batch.endpoint} refuses the host name of its URL (403), as an Ollama bound to loopback does."
    return UnauthorizedError(f"{message} Use an IP address, or set OLLAMA_HOST there to the address that clients use.")


def _failed(batch: Batch, _said: Complaint) -> AttemptError:
    return ServerFailedError(f"{batch.endpoint} failed to compute. Look at its log.")


_COUNTED = re.compile(r"(?:input \(|Given: )(\d{1,9})\b")
"""How llama.cpp and TEI say the length of the text that they refuse."""
_ANY = re.compile("")
_RULES = (
    Rule(frozenset({403}), re.compile(r"^ $"), _wrong_host),
    Rule(frozenset({404}), re.compile(r"model"), _missing),
    Rule(frozenset({413, 422}), re.compile(r"batch size"), _too_many),
    Rule(
        frozenset({400, 413, 422, 500}),
        re.compile(r"context[ _](length|size)|too long|too large to process|maximum .*tokens|less than \d+ tokens"),
        _too_long,
    ),
    Rule(frozenset({413}), _ANY, _too_many),
    Rule(frozenset({424}), _ANY, _failed),
    Rule(frozenset({500}), re.compile(r"\bnan\b"), _not_a_number),
    Rule(
        frozenset({400, 501}), re.compile(r"not support embeddings|not an embedding model|pooling type"), _no_embeddings
    ),
)
