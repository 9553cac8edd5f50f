"""`warmup.yaml`: how prompts begin that come again and again, so that they can be read before anyone waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from router_mcp.config.base import Problem, Strict, editor_schema, nearest, read_source, validate
from router_mcp.config.policy_file import Name, PolicyFile


class Template(Strict):
    """One beginning that many calls share: what a call's `system` is, and how its `prompt` begins."""

    task: Name = Field(description="Task of the policy; its first model on vLLM is warmed.")
    model: Name | None = Field(default=None, description="A model of the catalog in place of the task's own.")
    system: str | None = Field(default=None, description="The call's `system`, to the letter.")
    prompt: str = Field(default="", description="How the call's `prompt` begins, to the letter.")
    json_schema: dict[str, Any] | None = Field(
        default=None, description="The call's `json_schema`: the router adds instructions for it to the system text."
    )
    tenants: tuple[str, ...] = Field(
        default=(), description="Warmed once for each, under its own salt. None: for calls of no tenant."
    )


class WarmupFile(Strict):
    """The whole file."""

    version: Literal[1]
    max_running: int = Field(
        default=1, ge=0, le=100_000, description="An endpoint that runs more calls than this is busy, and left alone."
    )
    patience: float = Field(default=60, ge=0, le=86_400, description="Seconds to wait for a busy endpoint.")
    templates: dict[Name, Template] = Field(default_factory=dict)


def read_warmup(path: Path, environ: Mapping[str, str]) -> WarmupFile:
    """Read a templates file whose tasks a policy may lack, such as the one that ships; raise `ConfigError`."""
    return validate(read_source(path, environ), WarmupFile)


def load_warmup(path: Path, environ: Mapping[str, str], policy: PolicyFile) -> WarmupFile:
    """Read a templates file and check it against the policy; raise `ConfigError` that names every problem."""
    source = read_source(path, environ, "--templates")
    file = validate(source, WarmupFile)
    if problems := [each for name, template in file.templates.items() for each in _problems(name, template, policy)]:
        raise source.error(problems)
    return file


def _problems(name: str, template: Template, policy: PolicyFile) -> Iterator[Problem]:
    loc = ("templates", name)
    if template.task not in policy.generative_tasks():
        hint = nearest(template.task, list(policy.generative_tasks()))
        yield Problem((*loc, "task"), f"there is no task {template.task!r} with models. {hint}")
    if template.model is not None and template.model not in policy.models:
        hint = nearest(template.model, list(policy.models))
        yield Problem((*loc, "model"), f"there is no model {template.model!r}. {hint}")
    if not template.prompt and not template.system:
        yield Problem(loc, "a template needs a beginning. Give it system, prompt or both.")


def warmup_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    return editor_schema(WarmupFile, "Router MCP warm-up templates")
