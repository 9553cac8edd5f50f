"""`router-mcp warm`: read high-traffic prompts at night, so that the day's first calls find them in the cache."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from router_mcp.cli.session import ConfigOption, JsonOption, read_file, with_router
from router_mcp.cli.tables import Column, FittedTable
from router_mcp.cli.terminal import print_json, say, stderr, stdout
from router_mcp.config import shipped
from router_mcp.config.policy_file import PolicyFile
from router_mcp.config.warmup_file import WarmupFile, load_warmup, read_warmup
from router_mcp.operations.learn import learn, proposal
from router_mcp.operations.warm import Warmth
from router_mcp.operations.warm import warm as warm_all
from router_mcp.router import Router

COLUMNS = (
    *(Column("template"), Column("tenant"), Column("model", 2), Column("endpoint", 1, wraps=True), Column("outcome")),
    *(Column("tokens", 3), Column("cached"), Column("first token")),
)
STYLE = {"warmed": "green", "was_warm": "green", "failed": "red", "busy": "yellow"}


def warm(
    templates: Annotated[Path | None, typer.Option("--templates", help="Default: the file that ships.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Warm for this tenant alone.")] = None,
    all_replicas: Annotated[
        bool, typer.Option("--all-replicas", help="Also replicas that prefix affinity would not choose.")
    ] = False,
    learn_from: Annotated[
        Path | None, typer.Option("--learn", metavar="LOG", help="Propose templates from a log; nothing is warmed.")
    ] = None,
    min_calls: Annotated[int, typer.Option(min=2, help="With --learn: calls that must begin alike.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have vLLM read the beginnings of frequent prompts, and measure what that saves; exit 1 when one failed."""
    if learn_from is not None:
        _learn(learn_from, min_calls, as_json)
        return

    async def work(router: Router) -> list[Warmth]:
        file = _templates(templates, router.fleet.policy)
        with stderr().status("warming") as shown:
            return await warm_all(
                router,
                file,
                tenant=tenant,
                everywhere=all_replicas,
                tell=lambda result: shown.update(f"{result.template} on {result.endpoint}: {result.outcome}"),
            )

    results = with_router(config, work)
    if as_json:
        print_json(_report(results))
    else:
        stdout().print(_table(results))
        for outcome, detail in dict.fromkeys((each.outcome, each.detail) for each in results if each.detail):
            say(detail, STYLE.get(outcome, ""))
    if any(result.outcome == "failed" for result in results):
        raise typer.Exit(1)


def _templates(named: Path | None, policy: PolicyFile) -> WarmupFile:
    """Return a file that was named, which must fit the policy, or the one that ships, as far as it does."""
    if named is None:
        return read_warmup(shipped("router/warmup.yaml"), os.environ)
    return load_warmup(named, os.environ, policy)


def _learn(log: Path, min_calls: int, as_json: bool) -> None:
    learnt = learn(read_file(log, "log").splitlines(), min_calls=min_calls)
    if as_json:
        print_json({"calls": learnt.calls, "proposals": [asdict(each) for each in learnt.beginnings]})
    else:
        typer.echo(proposal(learnt), nl=False)


def _report(results: list[Warmth]) -> dict[str, Any]:
    return {
        "outcomes": dict(Counter(result.outcome for result in results)),
        "warmed_tokens": sum(result.warmed_tokens or 0 for result in results),
        "cached_tokens": sum(result.cached_tokens or 0 for result in results),
        "results": [asdict(result) for result in results],
    }


def _table(results: list[Warmth]) -> FittedTable:
    table = FittedTable("Prompt caches", COLUMNS)
    for each in results:
        before, after = each.first_token_before_s, each.first_token_after_s
        table.add(
            each.template,
            each.tenant or "",
            each.model,
            each.endpoint,
            each.outcome,
            _shown(each.input_tokens),
            _shown(each.cached_tokens),
            "" if before is None or after is None else f"{before:.2f} → {after:.2f} s",
            style=STYLE.get(each.outcome, ""),
        )
    return table


def _shown(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
