"""`router-mcp tenant`: what operators do to one tenant."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from router_mcp.cli.session import ConfigOption, JsonOption, with_router
from router_mcp.cli.tables import Column, FittedTable
from router_mcp.cli.terminal import print_json, stderr, stdout
from router_mcp.operations.tenants import Teardown
from router_mcp.operations.tenants import teardown as tear_down
from router_mcp.router import Router

app = typer.Typer(help="Tear a tenant down.", no_args_is_help=True)
COLUMNS = (
    *(Column("runtime", 1), Column("endpoint", wraps=True), Column("outcome"), Column("proof")),
    Column("detail", wraps=True),
)
STYLE = {"cleared": "green", "by_routers": "green", "still_there": "yellow", "unreachable": "red"}


@app.callback()
def tenant() -> None:
    """Keep `teardown` a word of its own, for it will not stay alone."""


@app.command()
def teardown(
    tenant: Annotated[str, typer.Argument(help="The tenant, as its calls name it.")],
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for endpoints that are in use.")] = 60.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Put a tenant's cached prefixes out of reach, drop them everywhere, and show it; exit 1 when some are left.

    vLLM can only drop the prefixes of all tenants at once: the next calls of the others are slower, once.
    """

    async def work(router: Router) -> Teardown:
        with stderr().status("tearing down"):
            return await tear_down(router, tenant, patience_s=patience)

    done = with_router(config, work)
    if as_json:
        print_json(asdict(done) | {"complete": done.complete})
    else:
        _show(done)
    if not done.complete:
        raise typer.Exit(1)


def _show(done: Teardown) -> None:
    resumed = ", begun before and finished now" if done.resumed else ""
    console = stdout()
    title = f"{done.tenant}: epoch {done.epoch}{resumed}. No call finds older prefixes."
    console.print(Text(title), soft_wrap=True)
    table = FittedTable("", COLUMNS)
    for each in done.endpoints:
        proof = {True: "shown", False: "refuted", None: ""}[each.proven]
        table.add(each.runtime, each.endpoint, each.outcome, proof, each.detail, style=STYLE[each.outcome])
    console.print(table)
