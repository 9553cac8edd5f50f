"""The policy file's shape: runtimes, models, tasks and the numbers that rule them (CONTRACT §3).

Everything is frozen. What only shows when sections are read together is checked in `config.checks`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from router_mcp.config.base import Strict, editor_schema
from router_mcp.config.rollout_rules import RolloutRules
from router_mcp.domain import RuntimeKind

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise ValueError("a name begins with a letter or digit and has letters, digits and . _ : / - (up to 128)")
    return text


def _env_name(text: str) -> str:
    if not re.fullmatch(_ENV_NAME, text):
        raise ValueError("this names the variable that holds the key, such as VLLM_API_KEY; never write the key here")
    return text


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": _NAME})]
EnvName = Annotated[str, AfterValidator(_env_name), WithJsonSchema({"type": "string", "pattern": _ENV_NAME})]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Family = Literal["chatml", "llama3", "mistral", "phi3", "gemma", "deepseek", "any"]

_PORTS = {"http": 80, "https": 443}
_CONCURRENCY: dict[RuntimeKind, int] = {"vllm": 64, "ollama": 4, "embedded": 2}
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"deepseek", "deepseek"),  # before the models that it was distilled into
    (r"hermes|dolphin|chatml", "chatml"),  # and so these, which keep their own template on any base
    (r"llama-?3", "llama3"),
    (r"phi-?[34]", "phi3"),
    (r"mistral|mixtral|nemo(?!tron)|codestral|magistral|ministral|devstral", "mistral"),
    (r"gemma", "gemma"),
    (r"qwen|smollm|\byi-", "chatml"),
)


def _endpoint(url: str) -> str:
    """Return a base URL in its one spelling, so that the same endpoint given twice is seen; never show a wrong one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may hold credentials
        raise ValueError("this is no URL; give host and port (1 to 65535), such as http://127.0.0.1:8000") from None
    if parts.scheme not in _PORTS or not host or port == 0 or not re.fullmatch(r"[!-~]+", url):
        raise ValueError("an endpoint is an http:// or https:// URL with a host, such as http://127.0.0.1:8000")
    if "@" in parts.netloc:
        raise ValueError("an endpoint must not hold credentials; put the key in a variable and name it in api_key_env")
    if "?" in url or "#" in url:
        raise ValueError("an endpoint has no query and no fragment; give the server's base URL")
    host = f"[{host}]" if ":" in host else host
    shown_port = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}{parts.path.rstrip('/')}"


EndpointUrl = Annotated[str, AfterValidator(_endpoint)]
"""A base URL in lower case, without credentials, query, default port and trailing slash."""


def _path(path: str) -> str:
    if not re.fullmatch(r"/[!-~]*", path):
        raise ValueError("a path starts with a slash and has no spaces, such as /healthz")
    return path


def _keep_alive(value: Any) -> Any:
    known = isinstance(value, int) and not isinstance(value, bool)
    if not known and not (isinstance(value, str) and re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", value)):
        raise ValueError("a duration has a unit, such as 30m; without quotes, 300 is in seconds and -1 is for ever")
    return value


class RuntimeConfig(Strict):
    """A place that runs models: vLLM, Ollama, or llama.cpp in a child process of the router."""

    kind: RuntimeKind
    endpoints: tuple[EndpointUrl, ...] = Field(
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
    keep_alive: Annotated[str | int, BeforeValidator(_keep_alive)] | None = Field(
        default=None, description="Ollama: how long a model stays loaded after a call, such as 30m or -1."
    )
    gguf: str | None = Field(default=None, description="Embedded: path of a GGUF file. Default: SmolLM2-135M.")
    threads: int | None = Field(default=None, ge=1, le=1024, description="Embedded: CPU threads. Default: all cores.")
    tenants: tuple[str, ...] = Field(
        default=(), description="Nobody but these tenants is served here; for caches that no salt keeps apart."
    )

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

    def silence(self, deadline: float) -> float:
        """Return the silence that a call with this deadline allows; the default leaves its fallback some time."""
        return self.inter_token if "inter_token" in self.model_fields_set else min(self.inter_token, deadline / 3)


class HealthRules(Strict):
    """When an endpoint is asked, given up and taken back. Seconds, but `reinstate_after` counts successes."""

    interval: Seconds = 10
    timeout: Seconds = 2
    demote_after: Seconds = 300
    reinstate_after: int = Field(default=3, ge=1, le=100)
    retry_after: Seconds = Field(default=5, description="A failed endpoint is left alone this long.")


class GenerationHealth(HealthRules):
    """Health of endpoints that generate; seconds."""

    canary: float = Field(
        default=45,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="A vLLM that nobody has used for so long is asked for one token, for its health check answers "
        "even when its engine is frozen. 0 is never.",
    )


@lru_cache
def _family_of(name: str) -> Family:
    """Return the family that a model's name tells; every call asks."""
    return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), "any")


class PolicyFile(Strict):
    """The whole file."""

    version: Literal[1]
    runtimes: dict[Name, RuntimeConfig] = Field(min_length=1)
    models: dict[Name, ModelConfig] = Field(min_length=1)
    tasks: dict[Name, TaskConfig] = Field(min_length=1)
    defaults: Defaults
    timeouts: Timeouts = Timeouts()
    health: GenerationHealth = GenerationHealth()
    rollout: RolloutRules = RolloutRules()

    def served_name(self, model: str) -> str:
        """Return the name that the model's runtime knows it by."""
        return self.models[model].served_name or model

    def family(self, model: str) -> Family:
        """Return the chat template family of a model: as configured, else by its name."""
        config = self.models[model]
        if config.family:
            return config.family
        return _family_of(f"{model} {config.served_name or ''}".lower())

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
    return editor_schema(PolicyFile, "Router MCP policy file")
