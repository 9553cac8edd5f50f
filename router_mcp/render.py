"""One attempt's request, made anew for each model, so that no fallback inherits the primary's name or limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from router_mcp import prompt, structured
from router_mcp.domain import Call, Endpoint
from router_mcp.policy import Step
from router_mcp.record import CallRecord

SaltOf: TypeAlias = Callable[[str | None], str | None]
"""Returns the cache salt that a tenant's calls have now."""


def render(
    record: CallRecord, step: Step, endpoint: Endpoint, compiled: structured.Compiled | None, salt_of: SaltOf
) -> Call:
    """Return what to send to one model for this call."""
    request, policy = record.request, record.policy
    window = policy.models[step.model].context_window
    shape = ""
    if record.prepared:
        room = structured.instruction_tokens(policy.runtimes[step.runtime].kind, window)
        shape = structured.instructions(record.prepared, room)
    messages = prompt.turns(
        family=policy.family(step.model),
        prompt=request.prompt,
        system=request.system,
        history=request.history,
        instructions=shape,
        after=record.repair,
    )
    return Call(
        endpoint=endpoint,
        model=policy.served_name(step.model),
        messages=messages,
        temperature=record.temperature,
        # vLLM refuses a limit above its window, though it clips prompt + limit in silence (B1 #8).
        max_output_tokens=min(record.max_output_tokens, window - 1),
        context_window=window,
        request_id=f"{record.request_id}-{len(record.attempts) + 1}",
        stop=() if compiled else request.stop,
        seed=request.seed,
        constraint=compiled.constraint if compiled else None,
        cache_salt=salt_of(request.tenant),
        traceparent=request.traceparent,
    )
