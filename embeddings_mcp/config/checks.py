"""What shows only when sections are read together: names that lead nowhere, fallbacks that would mix spaces."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from embeddings_mcp.config.file import IN_PROCESS, BackendConfig, EmbeddingsFile, ModelConfig
from router_mcp.config.base import Problem, nearest
from router_mcp.config.checks import is_loopback


def problems(file: EmbeddingsFile) -> list[Problem]:
    """List everything that would make this configuration fail later, in words that say what to change."""
    return [*_backends(file), *_models(file), *_fallbacks(file), *_defaults(file)]


def _backends(file: EmbeddingsFile) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, backend in file.backends.items():
        yield from _kind(name, backend)
        for index, url in enumerate(backend.endpoints):
            loc = ("backends", name, "endpoints", index)
            if url in seen:
                yield Problem(loc, f"this endpoint already belongs to backend {seen[url]!r}; a replica is listed once.")
            seen[url] = name
            parts = urlsplit(url)
            insecure = parts.scheme == "http" and not is_loopback(parts.hostname)
            if backend.kind == "ollama" and insecure and not backend.allow_insecure:
                message = (
                    "Ollama has no authentication, so it is reached on loopback or through https. "
                    "Use https, or say allow_insecure: true for a network that you trust."
                )
                yield Problem(loc, message)


def _kind(name: str, backend: BackendConfig) -> Iterator[Problem]:
    inside = backend.kind in IN_PROCESS
    if inside and backend.endpoints:
        yield Problem(("backends", name, "endpoints"), f"{backend.kind} runs in this server; remove endpoints.")
    if not inside and not backend.endpoints:
        yield Problem(("backends", name), 'this backend has no endpoints. Add endpoints: ["http://127.0.0.1:8080"].')
    if backend.kind == "gguf" and not backend.gguf:
        yield Problem(("backends", name), "a gguf backend needs a model. Add gguf: with the path of the file.")
    for key, value, kinds in (
        ("gguf", backend.gguf, {"gguf"}),
        ("threads", backend.threads, {"gguf"}),
        ("pooling", backend.pooling, {"gguf"}),
        ("keep_alive", backend.keep_alive, {"ollama"}),
        ("api_key_env", backend.api_key_env, {"ollama", "openai"}),
    ):
        if value is not None and backend.kind not in kinds:
            yield Problem(("backends", name, key), f"a backend of kind {backend.kind} does not take this; remove it.")


def _models(file: EmbeddingsFile) -> Iterator[Problem]:
    for name, model in file.models.items():
        if model.backend not in file.backends:
            hint = nearest(model.backend, list(file.backends))
            yield Problem(("models", name, "backend"), f"there is no backend {model.backend!r}. {hint}")
        for index, dimensions in enumerate(model.matryoshka):
            if dimensions >= model.dimensions:
                message = f"a shorter length is below the model's {model.dimensions} dimensions; remove {dimensions}."
                yield Problem(("models", name, "matryoshka", index), message)


def _fallbacks(file: EmbeddingsFile) -> Iterator[Problem]:
    for name, model in file.models.items():
        for index, other in enumerate(model.fallbacks):
            loc = ("models", name, "fallbacks", index)
            if other == name or other in model.fallbacks[:index]:
                yield Problem(loc, f"{other!r} stands here already, so it can never help. Remove it.")
            elif other not in file.models:
                yield Problem(loc, f"there is no model {other!r}. {nearest(other, list(file.models))}")
            elif difference := _difference(file, model, name, other):
                yield Problem(loc, difference)


def _difference(file: EmbeddingsFile, model: ModelConfig, name: str, other: str) -> str | None:
    """Say why vectors of `other` must not stand in for those of `name`; `None` when they may."""
    if file.space(name) != file.space(other):
        return (
            f"{other!r} is of space {file.space(other)!r} and {name!r} of {file.space(name)!r}, so their vectors "
            "cannot be compared. Remove it; give both the same space only when both serve the same weights."
        )
    for field in ("dimensions", "matryoshka", "normalize", "query_prefix", "document_prefix"):
        if getattr(model, field) != getattr(file.models[other], field):
            return f"{other!r} has another {field} than {name!r}, so it is not the same model. Make the two equal."
    return None


def _defaults(file: EmbeddingsFile) -> Iterator[Problem]:
    model = file.defaults.model
    if model not in file.models:
        yield Problem(("defaults", "model"), f"there is no model {model!r}. {nearest(model, list(file.models))}")
