"""Whether a model can serve a call at all, whatever its health. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Capabilities, Choices, Constraint, Grammar, JsonSchema, Regex
from router_mcp.rollout import Rollout

_CAPABILITY: dict[type[Constraint], str] = {
    JsonSchema: "json_schema",
    Choices: "choices",
    Regex: "regex",
    Grammar: "grammar",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of a call decides its route."""

    task: str
    model: str | None = None
    """A pinned model: then nothing else is tried."""
    constraint: type[Constraint] | None = None
    input_tokens: Callable[[int], int | None]
    """Told a window, returns how many tokens the prompt has when it exceeds it, else `None`."""
    tenant: str | None = None
    picked: Callable[[Rollout], bool] = lambda rollout: False
    """Tells whether this call is in a canary's share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A model that cannot serve this call, and why."""

    model: str
    code: str
    reason: str


def unfit(policy: PolicyFile, facts: Facts, model: str, capabilities: Callable[[str], Capabilities]) -> Skipped | None:
    """Return why a model cannot serve a call; `None` when it can."""
    window, runtime = policy.models[model].context_window, policy.models[model].runtime
    allowed = policy.runtimes[runtime].tenants
    if allowed and facts.tenant not in allowed:
        reason = f"runtime {runtime} serves only the tenants that the policy names for it"
        return Skipped(model=model, code="rejected", reason=reason)
    too_many = facts.input_tokens(window)
    if too_many is not None:
        reason = f"the prompt has at least {too_many} tokens and {model} takes {window}, the answer included"
        return Skipped(model=model, code="context_too_long", reason=reason)
    if facts.constraint is not None:
        wanted = _CAPABILITY[facts.constraint]
        if not getattr(capabilities(runtime), wanted):
            reason = f"{policy.runtime_of(model).kind} cannot enforce a {wanted} constraint"
            return Skipped(model=model, code="unsupported_constraint", reason=reason)
    return None
