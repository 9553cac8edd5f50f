"""`router-mcp route`: a dry run that tells what would serve a task, and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from router_mcp.cli.probing import probe_all
from router_mcp.cli.session import ConfigOption, JsonOption, TaskOption, with_router
from router_mcp.cli.terminal import STATE_STYLE, print_json
from router_mcp.domain import GenerateRequest
from router_mcp.edge.outputs import PlanOutput, plan_output
from router_mcp.router import Router


def route(
    task: TaskOption = None,
    input_tokens: Annotated[int | None, typer.Option("--input-tokens", min=0, help="Length of the prompt.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show which models would be tried for a task now, in which order and why; nothing is generated."""

    async def work(router: Router) -> PlanOutput:
        router.explain(GenerateRequest(prompt="", task=task), input_tokens)  # an unknown task is said at once
        await probe_all(router)
        return plan_output(router.explain(GenerateRequest(prompt="", task=task), input_tokens), router.fleet.policy)

    found = with_router(config, work)
    if as_json:
        print_json(found.wire())
        return
    table = Table(title=f"Task {found.task}", title_justify="left")
    for heading in ("", "model", "runtime", "endpoints", "state", "why"):
        table.add_column(heading, overflow="fold")
    for step in found.plan:
        urls = "\n".join(step.endpoints)
        table.add_row(
            str(step.order), step.model, step.runtime, urls, step.state, step.reason, style=STATE_STYLE[step.state]
        )
    for skip in found.skipped:
        table.add_row("–", skip.model, "", "", "skipped", skip.reason, style="dim")
    Console().print(table)
