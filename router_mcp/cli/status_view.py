"""A status as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from router_mcp.cli.terminal import STATE_STYLE

_CHANGES = 5


def tables(seen: dict[str, Any]) -> Group:
    """Return the tables of a status in the form of `edge.overview`."""
    parts: list[Table | Text] = [_endpoints(seen["endpoints"]), _models(seen["models"])]
    if seen["changes"]:
        parts.append(_changes(seen["changes"]))
    if seen["server"]["reason"]:
        parts.append(Text(seen["server"]["reason"], style="red"))
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


def _endpoints(endpoints: list[dict[str, Any]]) -> Table:
    table = _table("Endpoints", "runtime", "endpoint", "state", "for", "probe", "in flight", "queue", "last error")
    for each in endpoints:
        table.add_row(
            f"{each['runtime']} ({each['kind']})",
            each["url"],
            each["state"],
            seconds(each["since_s"]),
            seconds(each.get("probe_s")),
            f"{each['in_flight']}/{each['max_concurrency']}",
            str(each["queued"]),
            each["error"] or "",
            style=STATE_STYLE[each["state"]],
        )
    return table


def _models(models: list[dict[str, Any]]) -> Table:
    headings = ("model", "runtime", "state", "p50", "p95", "first token", "tokens/s", "failed", "context", "tasks")
    table = _table("Models", *headings, "hardware")
    for model in models:
        recent = model["recent"]
        speed = recent["tokens_per_s"]
        table.add_row(
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
            model["hardware"],
            style=STATE_STYLE[model["state"]],
        )
    return table


def _changes(changes: list[dict[str, Any]]) -> Table:
    table = _table("Recent changes", "when", "runtime", "endpoint", "became")
    for each in changes[:_CHANGES]:
        row = (f"{seconds(each['ago_s'])} ago", each["runtime"], each["url"], each["state"])
        table.add_row(*row, style=STATE_STYLE[each["state"]])
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
