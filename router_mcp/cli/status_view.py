"""A status as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.text import Text

from router_mcp.cli.tables import Column, FittedTable, listed
from router_mcp.cli.terminal import STATE_STYLE

_CHANGES = 5
_ENDPOINT = (
    *(Column("runtime"), Column("kind", 5), Column("endpoint"), Column("state"), Column("for"), Column("probe", 4)),
    *(Column("in flight", 1), Column("waiting", 2)),
)
_MODEL = (
    *(Column("model"), Column("runtime", 6), Column("state"), Column("p50", 2), Column("p95", 3)),
    *(Column("first token", 4), Column("tokens/s", 5), Column("failed", 1), Column("context", 7)),
    *(Column("tasks", 8, wraps=True), Column("hardware", 9, wraps=True)),
)
_CHANGE = (Column("when"), Column("runtime", 1), Column("endpoint"), Column("became"))


def tables(seen: dict[str, Any]) -> Group:
    """Return the tables of a status in the form of `edge.overview`, and what is wrong below them."""
    parts: list[FittedTable | Text] = [_endpoints(seen["endpoints"]), _models(seen["models"])]
    if seen["changes"]:
        parts.append(_changes(seen["changes"]))
    errors = listed(each["error"] or "" for each in (*seen["endpoints"], *seen["models"]))
    parts += [Text(error, style="red") for error in errors]
    if reason := seen["server"]["reason"]:
        parts.append(Text("No task can be served." if errors else reason, style="bold red"))
    return Group(*parts)


def seconds(value: float | None) -> str:
    """Return a duration as people say it; nothing for nothing."""
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value // 60:.0f} min" if value < 3600 else f"{value / 3600:.1f} h"


def _endpoints(endpoints: list[dict[str, Any]]) -> FittedTable:
    table = FittedTable("Endpoints", _ENDPOINT)
    for each in endpoints:
        table.add(
            each["runtime"],
            each["kind"],
            each["url"],
            each["state"],
            seconds(each["since_s"]),
            seconds(each.get("probe_s")),
            f"{each['in_flight']}/{each['max_concurrency']}",
            str(each["queued"] or ""),
            style=STATE_STYLE[each["state"]],
        )
    return table


def _models(models: list[dict[str, Any]]) -> FittedTable:
    table = FittedTable("Models", _MODEL)
    for model in models:
        recent = model["recent"]
        speed = recent["tokens_per_s"]
        table.add(
            model["name"],
            model["runtime"],
            model["state"],
            seconds(recent["p50_s"]),
            seconds(recent["p95_s"]),
            seconds(recent["first_token_p50_s"]),
            "" if speed is None else f"{speed:.0f}",
            f"{recent['failed']}/{recent['attempts']}" if recent["attempts"] else "",
            str(model["context_window"]),
            ", ".join(model["tasks"]),
            model["hardware"] or "",
            style=STATE_STYLE[model["state"]],
        )
    return table


def _changes(changes: list[dict[str, Any]]) -> FittedTable:
    table = FittedTable("Recent changes", _CHANGE)
    for each in changes[:_CHANGES]:
        row = (f"{seconds(max(0.0, each['ago_s']))} ago", each["runtime"], each["url"], each["state"])
        table.add(*row, style=STATE_STYLE[each["state"]])
    return table
