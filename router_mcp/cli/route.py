"""`router-mcp route`: a dry run that tells what would serve a task, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from router_mcp.cli.probing import probe_all
from router_mcp.cli.session import ConfigOption, JsonOption, TaskOption, with_router
from router_mcp.cli.terminal import STATE_STYLE, print_json
from router_mcp.domain import GenerateRequest
from router_mcp.policy import Plan
from router_mcp.router import Router


def route(
    task: TaskOption = None,
    input_tokens: Annotated[int | None, typer.Option("--input-tokens", min=0, help="Length of the prompt.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show which models would be tried for a task now, in which order and why; nothing is generated."""

    async def work(router: Router) -> Plan:
        router.explain(GenerateRequest(prompt="", task=task), input_tokens)  # an unknown task is said at once
        await probe_all(router)
        return router.explain(GenerateRequest(prompt="", task=task), input_tokens)

    plan = with_router(config, work)
    if as_json:
        print_json(asdict(plan))
        return
    table = Table(title=f"Task {plan.task}", title_justify="left")
    for heading in ("", "model", "runtime", "endpoints", "state", "why"):
        table.add_column(heading, overflow="fold")
    for order, step in enumerate(plan.steps, start=1):
        urls = "\n".join(endpoint.url for endpoint in step.endpoints)
        table.add_row(
            str(order), step.model, step.runtime, urls, step.state, step.reason, style=STATE_STYLE[step.state]
        )
    for skip in plan.skipped:
        table.add_row("–", skip.model, "", "", "skipped", skip.reason, style="dim")
    Console().print(table)
