"""`router-mcp drill`: measured failover on the live configuration; exit 1 when it is out of policy."""

from __future__ import annotations

import os
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import anyio
import typer
from rich.table import Table
from rich.text import Text

from router_mcp.cli.session import ConfigOption, JsonOption
from router_mcp.cli.terminal import print_json, stderr, stdout
from router_mcp.config import default_path, load_config
from router_mcp.config.policy_file import PolicyFile
from router_mcp.operations.drill import Kill, TaskDrill, drill_task
from router_mcp.policy import task_of
from router_mcp.wiring import Outside


class KillOption(StrEnum):
    """What the drill refuses to use."""

    primary = "primary"
    all_but_last = "all-but-last"


def drill(
    task: Annotated[str | None, typer.Option("--task", help="Task to drill. Default: every task with models.")] = None,
    kill: Annotated[KillOption, typer.Option(help="Which models to refuse.")] = KillOption.primary,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Refuse to use models, as if they were down, and measure what a caller would notice; nothing is harmed.

    Makes three short calls for each task, on the runtimes that the policy names.
    """
    policy = load_config(config or default_path())
    tasks = policy.generative_tasks() if task is None else (task_of(policy, task),)
    drills = anyio.run(_drill, policy, tasks, kill.value)
    in_policy = not any(each.problems for each in drills)
    if as_json:
        print_json({"kill": kill.value, "in_policy": in_policy, "tasks": [asdict(each) for each in drills]})
    else:
        _show(drills)
    if not in_policy:
        raise typer.Exit(1)


async def _drill(policy: PolicyFile, tasks: tuple[str, ...], kill: Kill) -> list[TaskDrill]:
    drills = []
    with stderr().status("") as shown:
        for task in tasks:
            shown.update(f"drilling {task}")
            drills.append(await drill_task(policy, task, kill, Outside(environ=os.environ)))
    return drills


def _show(drills: list[TaskDrill]) -> None:
    table = Table(title="Failover drill", title_justify="left")
    for heading in ("task", "down", "served by", "failover", "whole call", "next call"):
        table.add_column(heading, overflow="fold")
    for each in drills:
        table.add_row(
            each.task,
            "\n".join(each.killed),
            each.served_by or "nobody",
            _of(each.failover_s, each.allowed_s),
            _of(each.seconds, each.deadline_s),
            "" if each.next_failover_s is None else f"+{each.next_failover_s:.3f} s",
            style="red" if each.problems else "green",
        )
    console = stdout()
    console.print(table)
    for each in drills:
        for problem in each.problems:
            console.print(Text(f"{each.task}: {problem}", style="red"))


def _of(value: float | None, limit: float) -> str:
    return "" if value is None else f"{value:.3f} of {limit:g} s"
