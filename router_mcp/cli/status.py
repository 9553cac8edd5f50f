"""`router-mcp status`: every runtime, endpoint and model as it is now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from router_mcp import status as statuses
from router_mcp.cli.probing import probe_all
from router_mcp.cli.session import ConfigOption, JsonOption, with_router
from router_mcp.cli.terminal import STATE_STYLE, print_json
from router_mcp.router import Router

REFRESH_S = 2.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep the table fresh until interrupted.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the state of every endpoint and model; exit 1 when no task can be served."""
    if watch:
        _watch(config)
        return

    async def work(router: Router) -> tuple[dict[str, Any], Group, str | None]:
        await probe_all(router)
        now = anyio.current_time()
        return _json(router, now), _tables(router, now), statuses.not_ready(router, now)

    report, tables, problem = with_router(config, work)
    if as_json:
        print_json(report)
    else:
        Console().print(tables)
    if problem:
        raise typer.Exit(1)


def _watch(config: Path | None) -> None:
    async def work(router: Router) -> None:
        with Live(console=Console(), screen=False, auto_refresh=False) as live:
            while True:
                await probe_all(router)
                live.update(_tables(router, anyio.current_time()), refresh=True)
                await anyio.sleep(REFRESH_S)

    try:
        with_router(config, work)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _json(router: Router, now: float) -> dict[str, Any]:
    return {
        "endpoints": [asdict(each) for each in statuses.endpoints(router, now)],
        "models": [asdict(each) for each in statuses.models(router, now)],
    }


def _tables(router: Router, now: float) -> Group:
    endpoints = Table(title="Endpoints", title_justify="left")
    for heading in ("runtime", "endpoint", "state", "for", "in flight", "queue", "last error"):
        endpoints.add_column(heading, overflow="fold")
    for each in statuses.endpoints(router, now):
        endpoints.add_row(
            f"{each.runtime} ({each.kind})",
            each.url,
            each.state,
            "" if each.since_s is None else f"{each.since_s:.0f} s",
            f"{each.in_flight}/{each.max_concurrency}",
            str(each.queued),
            each.error or "",
            style=STATE_STYLE[each.state],
        )
    models = Table(title="Models", title_justify="left")
    for heading in ("model", "runtime", "state", "context", "tasks", "hardware"):
        models.add_column(heading, overflow="fold")
    for model in statuses.models(router, now):
        tasks = ", ".join(model.tasks)
        window = str(model.context_window)
        style = STATE_STYLE[model.state]
        models.add_row(model.name, model.runtime, model.state, window, tasks, model.hardware, style=style)
    return Group(endpoints, models)
