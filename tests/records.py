"""A call in the middle of its life, for tests of what is concluded from it."""

from __future__ import annotations

from router_mcp.budget import make_budget
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Capabilities, Constraint, Endpoint, GenerateRequest
from router_mcp.errors import AttemptError
from router_mcp.fleet import Fleet
from router_mcp.health import Standing
from router_mcp.policy import Step, endpoints_of, facts_of, make_plan, steps_of
from router_mcp.ranks import Group, Ranks, grouped
from router_mcp.record import CallRecord
from router_mcp.replicas import Replicas
from router_mcp.stream import Attention
from router_mcp.structured import Preparer
from tests.policies import changed, load

POLICY = load(
    changed(('["http://127.0.0.1:8000"]', '["http://gpu-1", "http://gpu-2", "http://gpu-3", "http://gpu-4"]'))
)
GPUS = tuple(Endpoint(runtime="gpu", url=f"http://gpu-{n}") for n in range(1, 5))
LAPTOP = Endpoint(runtime="laptop", url="http://127.0.0.1:11434")
NOW = 100.0


def make_record(
    *,
    model: str | None = None,
    constraint: Constraint | None = None,
    policy: PolicyFile = POLICY,
    capabilities: Capabilities | None = None,
    prompt: str = "hi",
    traceparent: str | None = None,
) -> CallRecord:
    """Return the record of a call of task `reasoning` that began at `NOW` and has tried nothing yet."""
    request = GenerateRequest(prompt=prompt, model=model, constraint=constraint, traceparent=traceparent)
    return CallRecord(
        fleet=Fleet(policy, {}),
        request=request,
        request_id="call-1",
        task="reasoning",
        plan=make_plan(
            policy,
            facts_of(request, "reasoning"),
            lambda _: capabilities or Capabilities(),
            lambda name, role, _: steps_of(name, role, _well(endpoints_of(policy, policy.models[name].runtime))),
        ),
        budget=make_budget(now=NOW, policy_s=30, asked_s=None, inter_token_s=8),
        temperature=0.7,
        max_output_tokens=1024,
        attention=Attention(),
        prepared=Preparer().prepare(constraint) if constraint else None,
    )


def _well(replicas: Replicas) -> tuple[Group, ...]:
    return grouped(replicas, Ranks(), lambda _: Standing(state="healthy"))


def big(*endpoints: Endpoint, rank: int = 0) -> Step:
    """Return a step of the primary on some of its replicas."""
    return Step(
        model="big",
        runtime="gpu",
        endpoints=Replicas(endpoints or GPUS[:1]),
        state="healthy",
        reason="primary",
        rank=rank,
    )


def small(rank: int = 0) -> Step:
    """Return the step of the fallback."""
    return Step(
        model="small", runtime="laptop", endpoints=Replicas((LAPTOP,)), state="healthy", reason="fallback 1", rank=rank
    )


def failed(record: CallRecord, *failures: tuple[Step, AttemptError]) -> CallRecord:
    """Note attempts that failed, each on the first replica of its step."""
    for step, error in failures:
        record.tried(step, step.endpoints[0], 1.0, error)
    return record
