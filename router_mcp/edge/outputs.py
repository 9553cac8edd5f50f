"""What the router's tools give back, as models: these are the published output schemas (CONTRACT §4)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import FinishReason, GenerateResult, State
from router_mcp.policy import Plan, temperature_of
from router_mcp.proofs import Firing
from router_mcp.status import ModelStatus


class Output(BaseModel):
    """Base: what is `None` is left out."""

    model_config = ConfigDict(frozen=True)

    def wire(self) -> dict[str, Any]:
        """Return the structured content."""
        return self.model_dump(mode="json", exclude_none=True)


class Tokens(Output):
    """Tokens as the runtime counted them."""

    input_tokens: int
    output_tokens: int


class Served(Output):
    """How an answer came about, shared by both kinds of call."""

    task: str
    model: str = Field(description="Catalog name of the model that answered.")
    runtime: str
    finish_reason: FinishReason = Field(description="`length`: cut at max_output_tokens. `deadline`: cut by time.")
    usage: Tokens
    fallback_from: list[str] | None = Field(
        default=None, description="Models that were tried or skipped first. Absent when the primary served."
    )
    temperature: float = Field(description="The temperature that was used.")


class Generated(Served):
    """The answer of `generate`."""

    text: str


class Structured(Served):
    """The answer of `structured_generate`."""

    data: Any = Field(description="The value; it satisfies the constraint.")
    attempts: int = Field(description="Times that a model was asked.")

    def wire(self) -> dict[str, Any]:
        """Return the structured content; data that is null is an answer, not a gap."""
        return {**super().wire(), "data": self.data}


class ModelOutput(Output):
    """One model of the catalog."""

    name: str
    runtime: str
    kind: Literal["vllm", "ollama", "embedded"]
    context_window: int = Field(description="Tokens of prompt and answer together.")
    hardware: str
    state: State
    tasks: list[str]
    constraints: Firing = Field(
        description="Whether its runtime was seen to enforce a constraint; structured answers are checked in any case."
    )
    error: str | None = None


class ModelsOutput(Output):
    """The answer of `list_models`."""

    models: list[ModelOutput]
    tasks: list[str] = Field(description="Values that `task` takes.")
    default_task: str


class StepOutput(Output):
    """One step of a plan."""

    order: int
    model: str
    runtime: str
    endpoints: list[str]
    state: State
    reason: str


class SkippedOutput(Output):
    """A model that cannot serve the call."""

    model: str
    code: str
    reason: str


class PlanOutput(Output):
    """The answer of `explain_route`."""

    task: str
    plan: list[StepOutput]
    skipped: list[SkippedOutput]
    deadline_s: float
    temperature: float


def served_fields(result: GenerateResult) -> dict[str, Any]:
    """Return the fields that both kinds of answer share."""
    return {
        "task": result.task,
        "model": result.model,
        "runtime": result.runtime,
        "finish_reason": result.finish_reason,
        "usage": Tokens(input_tokens=result.usage.input_tokens, output_tokens=result.usage.output_tokens),
        "fallback_from": list(result.fallback_from) or None,
        "temperature": result.temperature,
    }


def model_output(model: ModelStatus) -> ModelOutput:
    """Return the wire form of a model's status."""
    return ModelOutput(
        name=model.name,
        runtime=model.runtime,
        kind=model.kind,
        context_window=model.context_window,
        hardware=model.hardware,
        state=model.state,
        tasks=list(model.tasks),
        constraints=model.constraints,
        error=model.error,
    )


def plan_output(plan: Plan, policy: PolicyFile) -> PlanOutput:
    """Return the wire form of a plan, with what the policy sets for its task."""
    steps = [
        StepOutput(
            order=order,
            model=step.model,
            runtime=step.runtime,
            endpoints=[endpoint.url for endpoint in step.endpoints],
            state=step.state,
            reason=step.reason,
        )
        for order, step in enumerate(plan.steps, start=1)
    ]
    skipped = [SkippedOutput(model=skip.model, code=skip.code, reason=skip.reason) for skip in plan.skipped]
    temperature, _ = temperature_of(policy, plan.task, None)
    deadline_s = policy.deadline(plan.task)
    return PlanOutput(task=plan.task, plan=steps, skipped=skipped, deadline_s=deadline_s, temperature=temperature)
