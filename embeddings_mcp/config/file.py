"""The shape of `embeddings.yaml`: backends, models, and the numbers that rule them (CONTRACT §5, issue 5).

Everything is frozen. What only shows when sections are read together is in `embeddings_mcp.config.checks`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from embeddings_mcp.domain import BackendKind
from router_mcp.config.base import Strict, editor_schema
from router_mcp.config.policy_file import EndpointUrl, EnvName, HealthRules, Name, Seconds
from router_mcp.domain import Endpoint

Dimensions = Annotated[int, Field(ge=1, le=65_536)]
Prefix = Annotated[str, StringConstraints(max_length=1024)]

_CONCURRENCY: dict[BackendKind, int] = {"ollama": 4, "openai": 16, "wordllama": 2, "gguf": 2}
IN_PROCESS: frozenset[BackendKind] = frozenset({"wordllama", "gguf"})
"""Backends that this server runs itself: they have no URL."""


class BackendConfig(Strict):
    """A place that turns texts into vectors."""

    kind: BackendKind
    endpoints: tuple[EndpointUrl, ...] = Field(
        default=(), description="Base URLs of the replicas; each serves every model of this backend."
    )
    api_key_env: EnvName | None = Field(default=None, description="Name of the variable that holds the key.")
    max_concurrency: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Batches at once per endpoint. Default: 4 (ollama), 16 (openai), 2 (wordllama, gguf).",
    )
    max_queue: int = Field(default=256, ge=0, le=1_000_000, description="Batches that may wait for this backend.")
    allow_insecure: bool = Field(default=False, description="Allow plain HTTP to an Ollama that is not on loopback.")
    keep_alive: str | int | None = Field(
        default=None, description="Ollama: how long a model stays loaded after a call, such as 30m or -1."
    )
    gguf: str | None = Field(default=None, description="gguf: path of an embedding model's GGUF file.")
    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None, description="gguf: how tokens become one vector. Default: as the file says, which most do."
    )
    threads: int | None = Field(default=None, ge=1, le=1024, description="gguf: CPU threads. Default: all cores.")

    @property
    def concurrency(self) -> int:
        """Batches at once per endpoint, the default of the kind when the file is silent."""
        return self.max_concurrency or _CONCURRENCY[self.kind]


class ModelConfig(Strict):
    """An embedding model, served by one backend."""

    backend: Name
    served_name: str | None = Field(default=None, min_length=1, description="Name the backend knows. Default: the key.")
    space: Name | None = Field(
        default=None,
        description="Models of one space make vectors that may be compared: the same weights on another backend. "
        "Default: the key, so a space of its own.",
    )
    fallbacks: tuple[Name, ...] = Field(default=(), description="Models of the same space, tried in order.")
    dimensions: Dimensions = Field(description="Length of its vectors.")
    matryoshka: tuple[Dimensions, ...] = Field(
        default=(), description="Shorter lengths that it was trained for; others are refused."
    )
    max_input_tokens: int = Field(ge=8, le=100_000_000, description="Tokens of one text, with its prefix.")
    query_prefix: Prefix = Field(default="", description="Put before queries, as the model card wants it.")
    document_prefix: Prefix = Field(default="", description="Put before documents, as the model card wants it.")
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    batch_size: int = Field(default=64, ge=1, le=2048, description="Texts in one request at most.")
    batch_tokens: int = Field(default=16_384, ge=1, le=100_000_000, description="Tokens in one request, about.")
    description: str = Field(default="", description="One sentence for the agents that choose a model.")

    def prefix(self, input_type: Literal["document", "query"]) -> str:
        """Return what belongs before a text of this type."""
        return self.query_prefix if input_type == "query" else self.document_prefix


class Defaults(Strict):
    """What a call gets that does not say."""

    model: Name


class Timeouts(Strict):
    """Seconds."""

    call: Seconds = Field(default=120, description="Deadline of a whole call.")
    batch: Seconds = Field(default=60, description="Silence on one batch after which its backend counts as stalled.")
    connect: Seconds = Field(default=2, description="To open a connection.")


class CachePolicy(Strict):
    """Whose vectors may be kept in memory. Off unless a tenant is named: texts may be private."""

    max_mb: int = Field(default=64, ge=1, le=65_536, description="Memory for vectors, over all tenants.")
    tenants: tuple[str, ...] = Field(default=(), description='Tenants whose vectors may be kept; "*" means everyone.')


class EmbeddingsFile(Strict):
    """The whole file."""

    version: Literal[1]
    backends: dict[Name, BackendConfig] = Field(min_length=1)
    models: dict[Name, ModelConfig] = Field(min_length=1)
    defaults: Defaults
    timeouts: Timeouts = Timeouts()
    health: HealthRules = HealthRules()
    cache: CachePolicy = CachePolicy()

    def served_name(self, model: str) -> str:
        """Return the name that the model's backend knows it by."""
        return self.models[model].served_name or model

    def space(self, model: str) -> str:
        """Return the space that the model's vectors live in."""
        return self.models[model].space or model

    def backend_of(self, model: str) -> BackendConfig:
        """Return the backend that serves a model."""
        return self.backends[self.models[model].backend]

    def endpoints(self, backend: str) -> tuple[Endpoint, ...]:
        """Return the replicas of a backend; one that runs in this process is its own only endpoint."""
        config = self.backends[backend]
        urls = config.endpoints or ("in-process",)
        return tuple(Endpoint(runtime=backend, url=url) for url in urls)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors; published beside it."""
    return editor_schema(EmbeddingsFile, "Embeddings MCP configuration")
