"""`router-mcp route`: a dry run that tells what would serve a task, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from router_mcp.cli.probing import probe_all
from router_mcp.cli.session import ConfigOption, JsonOption, TaskOption, with_router
from router_mcp.cli.tables import Column, FittedTable
from router_mcp.cli.terminal import STATE_STYLE, print_json, stdout
from router_mcp.domain import GenerateRequest
from router_mcp.edge.outputs import PlanOutput, plan_output
from router_mcp.router import Router

_COLUMNS = (
    *(Column(""), Column("model"), Column("runtime", 2), Column("endpoints", 3, wraps=True), Column("state", 1)),
    Column("why", wraps=True),
)


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
    table = FittedTable(f"Task {found.task}", _COLUMNS)
    for step in found.plan:
        urls = ", ".join(step.endpoints)
        table.add(
            str(step.order), step.model, step.runtime, urls, step.state, step.reason, style=STATE_STYLE[step.state]
        )
    for skip in found.skipped:
        table.add("–", skip.model, "", "", "skipped", skip.reason, style="dim")
    stdout().print(table)
