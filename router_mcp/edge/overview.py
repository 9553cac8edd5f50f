"""Everything that an operator wants to see at once, as one JSON object: for the page, the MCP App and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from router_mcp import __version__, status
from router_mcp.domain import GenerateRequest, State
from router_mcp.router import Router
from router_mcp.telemetry.history import Change, History

WINDOW_S = 3600.0
"""How far back the timeline of an endpoint goes, once the server is that old."""
_SHORTEST_S = 60.0
_SHOWN_CHANGES = 30


def overview(router: Router, history: History, now: float, started: float) -> dict[str, Any]:
    """Return the server, its tasks with their routes, endpoints, models and recent changes; times are seconds ago."""
    reason = status.not_ready(router, now)
    changes = history.changes()
    window_s = min(WINDOW_S, max(_SHORTEST_S, now - started))
    return {
        "server": {
            "name": "router",
            "version": __version__,
            "uptime_s": round(now - started, 1),
            "ready": reason is None,
            "reason": reason,
        },
        "tasks": _tasks(router),
        "endpoints": [_endpoint(each, changes, now, window_s) for each in status.endpoints(router, now)],
        "models": [
            {**asdict(model), "recent": asdict(history.recently(model.name))} for model in status.models(router, now)
        ],
        "changes": [_change(change, now) for change in changes[: -_SHOWN_CHANGES - 1 : -1]],
        "window_s": round(window_s, 1),
    }


def _tasks(router: Router) -> list[dict[str, Any]]:
    policy = router.fleet.policy
    tasks: list[dict[str, Any]] = []
    for name in policy.generative_tasks():
        plan = router.explain(GenerateRequest(prompt="", task=name))
        tasks.append(
            {
                "task": name,
                "default": name == policy.defaults.task,
                "deadline_s": policy.deadline(name),
                "plan": [
                    {"model": step.model, "runtime": step.runtime, "state": step.state, "reason": step.reason}
                    for step in plan.steps
                ],
                "skipped": [{"model": skip.model, "reason": skip.reason} for skip in plan.skipped],
            }
        )
    return tasks


def _endpoint(
    endpoint: status.EndpointStatus, changes: Sequence[Change], now: float, window_s: float
) -> dict[str, Any]:
    own = [
        change
        for change in changes
        if change.endpoint.runtime == endpoint.runtime and change.endpoint.url == endpoint.url
    ]
    return {**asdict(endpoint), "timeline": timeline(own, now, window_s)}


def timeline(changes: Sequence[Change], now: float, window_s: float) -> list[dict[str, Any]]:
    """Return the stretches of one endpoint's states within the window, the oldest first, as seconds ago."""
    edges: list[tuple[float, State]] = [(now - window_s, "unknown")]
    for change in changes:
        if change.at <= edges[0][0]:
            edges[0] = (edges[0][0], change.state)
        else:
            edges.append((change.at, change.state))
    ends = [at for at, _ in edges[1:]] + [now]
    return [
        {"state": state, "from_s": round(now - begin, 1), "to_s": round(now - end, 1)}
        for (begin, state), end in zip(edges, ends, strict=True)
        if end > begin
    ]


def _change(change: Change, now: float) -> dict[str, Any]:
    return {
        "ago_s": round(now - change.at, 1),
        "runtime": change.endpoint.runtime,
        "url": change.endpoint.url,
        "state": change.state,
        "error": change.error if change.state in {"unhealthy", "demoted"} else None,
    }
