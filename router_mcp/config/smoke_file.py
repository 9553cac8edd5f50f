"""`smoke.yaml`: what a canary must be able to do before it gets a single call of anyone's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from router_mcp.config.base import Strict, editor_schema, read_source, validate
from router_mcp.config.policy_file import Name


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"this is no pattern ({error})") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class PromptCheck(Strict):
    """A prompt, and what its answer must be like."""

    prompt: str = Field(min_length=1)
    system: str | None = None
    tasks: tuple[Name, ...] = Field(default=(), description="Asked only for these tasks. None: for all of the model's.")
    matches: Pattern | None = Field(default=None, description="A pattern (Python) that stands in the answer.")
    never: Pattern | None = Field(default=None, description="A pattern that must not stand in it.")
    min_chars: int = Field(default=1, ge=0)
    max_output_tokens: int = Field(default=64, ge=1, le=100_000)


class StructuredCheck(Strict):
    """A prompt whose answer must satisfy a schema."""

    prompt: str = Field(min_length=1)
    json_schema: dict[str, Any]
    max_output_tokens: int = Field(default=256, ge=1, le=100_000)


class Latency(Strict):
    """What answers may take at most, in seconds, once the model is loaded."""

    first_token: float = Field(default=10, gt=0, le=86_400)
    whole: float = Field(default=60, gt=0, le=86_400)


class SmokeFile(Strict):
    """The whole file. Every part that is there must pass."""

    version: Literal[1]
    latency: Latency = Latency()
    prompts: dict[Name, PromptCheck] = Field(default_factory=dict)
    structured: dict[Name, StructuredCheck] = Field(default_factory=dict)
    context_fill: float = Field(
        default=0.5, ge=0, le=0.9, description="Part of the window that a long prompt must be read in; 0 is off."
    )
    refuses_too_long: bool = Field(
        default=True, description="A prompt of twice the window must be refused, not cut in silence."
    )
    cancels: bool = Field(default=True, description="A call that is given up must free its place.")


def load_smoke(path: Path, environ: Mapping[str, str]) -> SmokeFile:
    """Read a suite; raise `ConfigError` that names every problem."""
    return validate(read_source(path, environ, "--suite"), SmokeFile)


def smoke_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    return editor_schema(SmokeFile, "Router MCP smoke suite for canaries")
