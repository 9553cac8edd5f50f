"""The models as callers see them: what they are, and how they stand now. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from embeddings_mcp.config.file import EmbeddingsFile
from embeddings_mcp.domain import BackendKind, ModelCard
from embeddings_mcp.request import allowed_dimensions
from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.domain import Endpoint, State
from router_mcp.health import Standing, since

_FROM_BEST: tuple[State, ...] = ("healthy", "unknown", "recovering", "unhealthy", "demoted")


def standings(
    file: EmbeddingsFile, model: str, standing: Callable[[Endpoint, str], Standing]
) -> tuple[tuple[Endpoint, Standing], ...]:
    """Return how a model stands on each replica of its backend."""
    return tuple((each, standing(each, model)) for each in file.endpoints(file.models[model].backend))


def cards(file: EmbeddingsFile, standing: Callable[[Endpoint, str], Standing]) -> tuple[ModelCard, ...]:
    """Describe every model; it is as well as the best of its replicas."""
    return tuple(_card(file, model, standing) for model in file.models)


def _card(file: EmbeddingsFile, model: str, standing: Callable[[Endpoint, str], Standing]) -> ModelCard:
    config = file.models[model]
    _, best = min(standings(file, model, standing), key=lambda pair: _FROM_BEST.index(pair[1].state))
    return ModelCard(
        name=model,
        backend=config.backend,
        kind=file.backend_of(model).kind,
        space=file.space(model),
        dimensions=config.dimensions,
        allowed_dimensions=allowed_dimensions(file, model),
        max_input_tokens=config.max_input_tokens,
        default=model == file.defaults.model,
        fallbacks=config.fallbacks,
        description=config.description,
        state=best.state,
        detail=best.error,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCard:
    """One replica of a backend, as `status` shows it."""

    backend: str
    kind: BackendKind
    url: str
    state: State
    since_s: float | None
    in_flight: int
    max_concurrency: int
    queued: int
    error: str | None = None


def endpoint_cards(
    file: EmbeddingsFile, board: HealthBoard, book: AdmissionBook, now: float
) -> tuple[EndpointCard, ...]:
    """Describe every endpoint."""
    found = []
    for name, config in file.backends.items():
        for endpoint in file.endpoints(name):
            began = since(board.health(endpoint), now, file.health)
            standing = board.standing(endpoint, "", now)
            found.append(
                EndpointCard(
                    backend=name,
                    kind=config.kind,
                    url=endpoint.url,
                    state=standing.state,
                    since_s=None if began is None else round(now - began, 1),
                    in_flight=book.running(endpoint),
                    max_concurrency=config.concurrency,
                    queued=book.queued(name),
                    error=standing.error,
                )
            )
    return tuple(found)


def not_ready(catalog: tuple[ModelCard, ...]) -> str | None:
    """Say why no text can be embedded now; `None` when some model can serve."""
    if any(card.state == "healthy" for card in catalog):
        return None
    default = next(card for card in catalog if card.default)
    if default.detail is None:
        return f"{default.name} was not asked yet. Wait for the first health check."
    return f"{default.name} is {default.state}: {default.detail}"
