"""The policy file's shape: runtimes, models, tasks and the numbers that rule them (CONTRACT §3).

Everything is frozen. What only shows when sections are read together is checked in `config.checks`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from router_mcp.config.base import Strict
from router_mcp.domain import RuntimeKind

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Family = Literal["chatml", "llama3", "mistral", "phi3", "gemma", "deepseek", "any"]

_CONCURRENCY: dict[RuntimeKind, int] = {"vllm": 64, "ollama": 4, "embedded": 2}
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"llama-?3", "llama3"),
    (r"phi-?[34]", "phi3"),
    (r"mistral|mixtral|nemo|codestral|magistral|ministral|devstral", "mistral"),
    (r"gemma", "gemma"),
    (r"deepseek", "deepseek"),
    (r"qwen|smollm|chatml|hermes|yi-", "chatml"),
)


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an endpoint is an http:// or https:// URL with a host, such as http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise ValueError("an endpoint must not hold credentials; put the key in a variable and name it in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("an endpoint has no query and no fragment; give the server's base URL")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port of this endpoint is not a number from 1 to 65535") from None
    return url.rstrip("/")


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("a path starts with a slash, such as /healthz")
    return path


class RuntimeConfig(Strict):
    """A place that runs models: vLLM, Ollama, or llama.cpp in a child process of the router."""

    kind: RuntimeKind
    endpoints: tuple[Annotated[str, AfterValidator(_endpoint)], ...] = Field(
        default=(), description="Base URLs of the replicas; each serves every model of this runtime."
    )
    api_key_env: EnvName | None = Field(default=None, description="Name of the variable that holds the key.")
    health_path: Annotated[str, AfterValidator(_path)] = Field(
        default="/healthz", description="Asked first; where it answers 404 the runtime's own path is used."
    )
    max_concurrency: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Calls at once per endpoint. Default: 64 (vllm), 4 (ollama), 2.",
    )
    max_queue: int = Field(default=256, ge=0, le=1_000_000, description="Callers that may wait for this runtime.")
    allow_insecure: bool = Field(default=False, description="Allow plain HTTP to an Ollama that is not on loopback.")
    keep_alive: str | int | None = Field(
        default=None, description="Ollama: how long a model stays loaded after a call, such as 30m or -1."
    )
    gguf: str | None = Field(default=None, description="Embedded: path of a GGUF file. Default: SmolLM2-135M.")
    threads: int | None = Field(default=None, ge=1, le=1024, description="Embedded: CPU threads. Default: all cores.")

    @property
    def concurrency(self) -> int:
        """Calls at once per endpoint, the default of the kind when the file is silent."""
        return self.max_concurrency or _CONCURRENCY[self.kind]


class ModelConfig(Strict):
    """A model of the catalog."""

    runtime: Name
    served_name: str | None = Field(default=None, min_length=1, description="Name the runtime knows. Default: the key.")
    context_window: int = Field(ge=128, le=100_000_000, description="Tokens of prompt and answer together.")
    hardware: str = Field(default="", description="What it needs, for people.")
    family: Family | None = Field(
        default=None, description="Chat template whose control tokens user text must not forge. Default: by the name."
    )


class TaskConfig(Strict):
    """What callers name: an ordered list of models, or the server that serves it."""

    models: tuple[Name, ...] = Field(default=(), description="Primary first, then the fallbacks in order.")
    served_by: Literal["embeddings-mcp"] | None = Field(default=None, description="Another server of this project.")
    timeout: Literal["interactive", "long_form"] = Field(default="interactive", description="Which of `timeouts`.")
    safety_critical: bool = Field(default=False, description="Clamp the temperature to the safety limit.")
    temperature: Temperature | None = Field(default=None, description="Default temperature of this task.")
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Default limit of this task.")
    description: str = Field(default="", description="One sentence for the agents that choose a task.")


class Defaults(Strict):
    """What a call gets that does not say."""

    task: Name
    temperature: Temperature = 0.7
    safety_critical_max_temperature: Temperature = 0.3
    max_output_tokens: int = Field(default=1024, ge=1, le=1_000_000)


class Timeouts(Strict):
    """Seconds. `interactive` and `long_form` are deadlines of whole calls; the rest are limits inside."""

    interactive: Seconds = 30
    long_form: Seconds = 120
    connect: Seconds = Field(default=2, description="To open a connection.")
    inter_token: Seconds = Field(default=8, description="Silence within a stream after which it counts as stalled.")


class HealthRules(Strict):
    """When an endpoint is asked, given up and taken back. Seconds, but `reinstate_after` counts successes."""

    interval: Seconds = 10
    timeout: Seconds = 2
    demote_after: Seconds = 300
    reinstate_after: int = Field(default=3, ge=1, le=100)
    retry_after: Seconds = Field(default=5, description="A failed endpoint is left alone this long.")


class PolicyFile(Strict):
    """The whole file."""

    version: Literal[1]
    runtimes: dict[Name, RuntimeConfig] = Field(min_length=1)
    models: dict[Name, ModelConfig] = Field(min_length=1)
    tasks: dict[Name, TaskConfig] = Field(min_length=1)
    defaults: Defaults
    timeouts: Timeouts = Timeouts()
    health: HealthRules = HealthRules()

    def served_name(self, model: str) -> str:
        """Return the name that the model's runtime knows it by."""
        return self.models[model].served_name or model

    def family(self, model: str) -> Family:
        """Return the chat template family of a model: as configured, else by its name."""
        config = self.models[model]
        if config.family:
            return config.family
        name = f"{model} {config.served_name or ''}".lower()
        return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), "any")

    def runtime_of(self, model: str) -> RuntimeConfig:
        """Return the runtime that serves a model."""
        return self.runtimes[self.models[model].runtime]

    def deadline(self, task: str) -> float:
        """Return the seconds that a whole call of this task may take."""
        return self.timeouts.long_form if self.tasks[task].timeout == "long_form" else self.timeouts.interactive

    def generative_tasks(self) -> tuple[str, ...]:
        """List the tasks that this server itself serves, in the order of the file."""
        return tuple(name for name, task in self.tasks.items() if not task.served_by)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the policy file, for editors; published beside the file."""
    schema = PolicyFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Router MCP policy file"}
