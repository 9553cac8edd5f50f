"""What a request must be before anything is sent. Pure; raises `InvalidArgumentsError` that says what to change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embeddings_mcp.config.file import EmbeddingsFile
from embeddings_mcp.domain import EmbedRequest, Item, RankRequest
from router_mcp.config.base import nearest
from router_mcp.domain import State
from router_mcp.errors import InvalidArgumentsError
from router_mcp.health import WELL

MAX_TEXTS = 2048
"""CONTRACT §5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request that was checked: embedding and ranking alike come down to items and a model."""

    model: str
    dimensions: int
    items: tuple[Item, ...]
    truncate: bool
    has_query: bool = False
    """Whether the first item is a ranking's query, which callers do not count."""

    def index(self, place: int) -> int | None:
        """Return what the caller counts an item as; `None` is the query."""
        return place if not self.has_query else place - 1 if place else None


def ask_to_embed(file: EmbeddingsFile, request: EmbedRequest) -> Ask:
    """Check a request to embed."""
    check_texts(request.texts)
    model = model_of(file, request.model)
    return Ask(
        model=model,
        dimensions=dimensions_of(file, model, request.dimensions),
        items=tuple(Item(text, request.input_type) for text in request.texts),
        truncate=request.truncate,
    )


def ask_to_rank(file: EmbeddingsFile, request: RankRequest) -> Ask:
    """Check a request to rank."""
    check_text("query", request.query)
    check_texts(request.texts)
    if request.top_k is not None and request.top_k < 1:
        raise InvalidArgumentsError(f"top_k is {request.top_k}. Ask for 1 or more, or leave it out for all texts.")
    model = model_of(file, request.model)
    return Ask(
        model=model,
        dimensions=file.models[model].dimensions,
        items=(Item(request.query, "query"), *(Item(text, "document") for text in request.texts)),
        truncate=request.truncate,
        has_query=True,
    )


def check_texts(texts: Sequence[str]) -> None:
    """Refuse no texts, too many, and texts that no model can embed, by their index."""
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidArgumentsError(f"There are {len(texts)} texts. Send 1 to {MAX_TEXTS} in one call.")
    for index, text in enumerate(texts):
        check_text(f"texts[{index}]", text)


def check_text(name: str, text: str) -> None:
    """Refuse an empty text, which Ollama drops without a word (Ollama #19), and one that is no valid Unicode."""
    if not text or text.isspace():
        raise InvalidArgumentsError(f"{name} is empty. Leave it out, or give it words.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            message = f"{name} holds half of a surrogate pair, so it is not valid Unicode. Send the whole character."
            raise InvalidArgumentsError(message) from None


def model_of(file: EmbeddingsFile, asked: str | None) -> str:
    """Return the model to use: the one asked for, else the default."""
    if asked is None:
        return file.defaults.model
    if asked not in file.models:
        raise InvalidArgumentsError(f"There is no embedding model {asked!r}. {nearest(asked, list(file.models))}")
    return asked


def dimensions_of(file: EmbeddingsFile, model: str, asked: int | None) -> int:
    """Return the length of the vectors: only the model's own, or a shorter one that it was trained for."""
    allowed = allowed_dimensions(file, model)
    if asked is None or asked in allowed:
        return asked or allowed[0]
    listed = ", ".join(map(str, allowed))
    message = f"{model} was not trained for {asked} dimensions, so a cut vector would mean little. Ask for {listed}."
    raise InvalidArgumentsError(message)


def allowed_dimensions(file: EmbeddingsFile, model: str) -> tuple[int, ...]:
    """List the lengths that a model's vectors may have, the full one first."""
    config = file.models[model]
    return (config.dimensions, *sorted(config.matryoshka, reverse=True))


def candidates(file: EmbeddingsFile, model: str, states: Callable[[str], Sequence[State]]) -> tuple[str, ...]:
    """Return the model and its fallbacks in the order to try: those with a well replica first, none left out.

    `states` tells how a model stands on each of its replicas.
    """
    chain = (model, *file.models[model].fallbacks)
    return tuple(sorted(chain, key=lambda each: not any(state in WELL for state in states(each))))
