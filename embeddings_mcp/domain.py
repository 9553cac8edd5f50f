"""The frozen words of the embeddings server: what is asked, what a backend answers, what the caller gets.

Nothing here does anything. Units: seconds, tokens. Vectors are float32 arrays, one row a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from router_mcp.domain import Endpoint, Receipt, State, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

InputType: TypeAlias = Literal["document", "query"]
BackendKind: TypeAlias = Literal["ollama", "openai", "wordllama", "gguf"]
Vectors: TypeAlias = "NDArray[np.float32]"
Progress: TypeAlias = Callable[[int, int], None]
"""Told how many of how many texts are done; called on the event loop, so it must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """What a caller asks for. `None` always means: as the configuration says."""

    texts: tuple[str, ...]
    model: str | None = None
    input_type: InputType = "document"
    dimensions: int | None = None
    truncate: bool = False
    """Whether texts that are too long are cut, and reported, instead of refused."""
    tenant: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRequest:
    """A query, and the texts to put in order of likeness to it."""

    query: str
    texts: tuple[str, ...]
    top_k: int | None = None
    model: str | None = None
    truncate: bool = False
    tenant: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One text of a call, and which of the model's prefixes belongs before it."""

    text: str
    input_type: InputType


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request to a backend: everything an adapter needs, and nothing of the call that it is part of."""

    endpoint: Endpoint
    model: str
    """The name that the backend knows the model by."""
    texts: tuple[str, ...]
    """With their prefixes; never empty ones."""
    max_input_tokens: int
    truncate: bool
    request_id: str
    traceparent: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of its request, by which it is found again in the backend's log and traces."""
        trace = {"traceparent": self.traceparent} if self.traceparent else {}
        return {"content-type": "application/json", "x-request-id": self.request_id, **trace}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a backend answered to a batch. Nothing in it is checked but that it is a list of lists of numbers."""

    vectors: Vectors
    """One row a text; an array of another shape means that the rows differ in length."""
    input_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedResult:
    """What a caller gets back: row `i` of `vectors` belongs to text `i`."""

    model: str
    dimensions: int
    vectors: Vectors
    usage: Usage
    receipt: Receipt
    truncated: tuple[int, ...] = ()
    """Indices of texts that were cut to the model's limit; only where the caller allowed it."""
    fallback_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """One text of a ranking: its index in the request, and its cosine likeness to the query (-1 to 1)."""

    index: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankResult:
    """A ranking, best first; texts that score alike keep their order."""

    model: str
    results: tuple[Ranked, ...]
    usage: Usage
    receipt: Receipt
    truncated: tuple[int, ...] = ()
    query_truncated: bool = False
    fallback_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model of the catalog, as `list_embedding_models` and `status` show it."""

    name: str
    backend: str
    kind: BackendKind
    space: str
    dimensions: int
    allowed_dimensions: tuple[int, ...]
    max_input_tokens: int
    default: bool
    fallbacks: tuple[str, ...]
    description: str
    state: State
    detail: str | None = None
    """Why it is not well, and what to do; `None` while it is."""
