"""Calls that operations make beside the traffic, to one replica: rendered as the router renders those of callers.

A prefix cache knows a prompt by its bytes, so what is warmed or measured has to pass through the same `render`.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import uuid4

from router_mcp.budget import make_budget
from router_mcp.domain import Call, Endpoint, GenerateRequest
from router_mcp.policy import Plan, Step
from router_mcp.record import CallRecord
from router_mcp.render import render
from router_mcp.replicas import Replicas
from router_mcp.router import Router
from router_mcp.stream import Attention
from router_mcp.structured import Preparer, compile_for


def draft(router: Router, request: GenerateRequest, task: str, model: str, endpoint: Endpoint) -> Call:
    """Return the call that serves a request there, but for one token: what counts is that the prompt is read."""
    policy = router.fleet.policy
    step = Step(
        model=model, runtime=endpoint.runtime, endpoints=Replicas((endpoint,)), state="unknown", reason="", rank=0
    )
    prepared = Preparer().prepare(request.constraint) if request.constraint else None
    record = CallRecord(
        fleet=router.fleet,
        request=request,
        request_id=f"operation-{uuid4().hex}",
        task=task,
        plan=Plan(task=task, steps=(step,), skipped=()),
        budget=make_budget(
            now=0.0, policy_s=policy.deadline(task), asked_s=None, inter_token_s=policy.timeouts.inter_token
        ),
        temperature=0.0,
        max_output_tokens=1,
        attention=Attention(),
        prepared=prepared,
    )
    compiled = compile_for(policy.runtime_of(model).kind, prepared) if prepared else None
    return render(record, step, endpoint, compiled, router.orders.salt)


_WORDS = ("one", "two", "red", "blue", "day", "night", "sun", "moon", "tree", "house", "water", "stone", "road", "rain")


def marker_text(seed: str, words: int) -> str:
    """Return so many plain words, of its own for each seed, the same whenever they are asked for."""
    digest = b"".join(sha256(f"{seed}:{block}".encode()).digest() for block in range(words // 32 + 1))
    return " ".join(_WORDS[byte % len(_WORDS)] for byte in digest[:words])
