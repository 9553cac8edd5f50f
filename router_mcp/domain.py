"""The frozen words of the project: what is asked, what one runtime said, what the caller gets back.

Nothing here does anything. Units: seconds, tokens. Foreign data never gets this far unchecked:
the edge validates what callers send, the runtimes validate what servers answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]
FinishReason: TypeAlias = Literal["stop", "length", "deadline"]
State: TypeAlias = Literal["healthy", "unhealthy", "demoted", "recovering", "unknown"]
RuntimeKind: TypeAlias = Literal["vllm", "ollama", "embedded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The answer must be JSON that this schema accepts (2020-12 unless `$schema` says otherwise)."""

    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """The answer must be one of these strings."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """The whole answer must match this pattern."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """The answer must be a sentence of this grammar (EBNF, GBNF or Lark, as the runtime takes it)."""

    text: str


Constraint: TypeAlias = JsonSchema | Choices | Regex | Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Which constraints a kind of runtime can be asked to enforce."""

    json_schema: bool = True
    choices: bool = True
    regex: bool = True
    grammar: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """What a caller asks for. `None` always means: as the policy says."""

    prompt: str
    task: str | None = None
    system: str | None = None
    history: tuple[Message, ...] = ()
    temperature: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout_s: float | None = None
    tenant: str | None = None
    model: str | None = None
    constraint: Constraint | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One process that serves models: a replica of a runtime. Its `url` never holds credentials."""

    runtime: str
    url: str

    def __str__(self) -> str:
        return f"{self.runtime} ({self.url})"

    def __hash__(self) -> int:
        return hash(self.url)  # a text remembers its hash; every call looks up a dozen things by its endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt, rendered for one model: everything a runtime adapter needs, and nothing of the policy.

    It is made anew for every attempt, so that no fallback inherits the primary's name or parameters.
    """

    endpoint: Endpoint
    model: str
    """The name that the runtime knows the model by."""
    messages: tuple[Message, ...]
    """Roles are whitelisted and control tokens of the model's template are already neutralised."""
    temperature: float
    max_output_tokens: int
    context_window: int
    request_id: str
    stop: tuple[str, ...] = ()
    seed: int | None = None
    constraint: Constraint | None = None
    cache_salt: str | None = None
    priority: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens counted by the runtime."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What one runtime answered, complete: its finish reason was seen on the wire."""

    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage


class Listener(Protocol):
    """Hears a stream while it arrives. Plain calls, so that a token costs no task switch."""

    def text(self, delta: str) -> None:
        """Take the next piece of the answer; never empty."""
        ...

    def alive(self) -> None:
        """Note that the model produced something which is not part of the answer (reasoning, say)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What an endpoint said of itself."""

    models: frozenset[str] | None = None
    """Names it serves; `None` when it does not say."""
    version: str | None = None
    running: int | None = None
    """Requests in generation now; `None` when it does not say."""
    tokens_total: float | None = None
    """A counter that moves while tokens are processed; `None` when it does not say."""
    loaded: frozenset[str] | None = None
    """Models in memory; `None` when the runtime does not load on demand."""
    prefix_queried: int | None = None
    """Prompt tokens that were ever looked for in the prefix cache; `None` when it does not count them."""
    prefix_hit: int | None = None
    """Those that were found there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try, as the receipt, the log and the span show it."""

    model: str
    runtime: str
    endpoint: str
    outcome: str
    """`ok`, or the `outcome` of the error class that ended it."""
    seconds: float
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How the answer came about. Its wire form is `_meta["router-mcp/route"]`."""

    request_id: str
    task: str
    attempts: tuple[Attempt, ...] = ()
    deadline_s: float
    seconds: float = 0.0
    queue_wait_s: float = 0.0
    time_to_first_token_s: float | None = None
    trace_id: str | None = None
    notes: tuple[str, ...] = ()
    """What the caller should know: a clamped temperature, a shortened output limit, a degraded route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateResult:
    """What a caller gets back."""

    text: str
    task: str
    model: str
    runtime: str
    finish_reason: FinishReason
    usage: Usage
    temperature: float
    receipt: Receipt
    fallback_from: tuple[str, ...] = ()
    data: Any = field(default=None)
    """The checked value of a structured call."""
    attempts: int = 1
    """Times a model was asked, repairs included."""
