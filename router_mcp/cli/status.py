"""`router-mcp status`: every runtime, endpoint and model as it is now, from a running server or by asking them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import anyio
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from router_mcp.cli.probing import probe_all
from router_mcp.cli.served_status import read_status
from router_mcp.cli.session import ConfigOption, JsonOption, with_router
from router_mcp.cli.status_view import tables
from router_mcp.cli.terminal import print_json, stdout
from router_mcp.edge.overview import overview
from router_mcp.errors import InvalidArgumentsError, RouterError
from router_mcp.router import Router
from router_mcp.telemetry.history import History

REFRESH_S = 2.0

Look: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
"""Returns the status as it is now, in the form of `edge.overview`."""


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep the tables fresh until interrupted.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Ask a server over HTTP, which knows its calls; its token: ROUTER_MCP_TOKEN.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the state of every endpoint and model; exit 1 when no task can be served."""
    if watch and as_json:
        raise InvalidArgumentsError("--watch and --json do not go together. Give one of them.")
    if watch:
        _with_look(url, config, _watch)
        return
    seen = _with_look(url, config, _once)
    if as_json:
        print_json(seen)
    else:
        stdout().print(tables(seen))
    if not seen["server"]["ready"]:
        raise typer.Exit(1)


def _with_look(url: str | None, config: Path | None, work: Callable[[Look], Awaitable[dict[str, Any]]]) -> Any:
    """Do the work with a way to look at what was asked for."""
    try:
        if url is not None:
            return anyio.run(work, lambda: read_status(url))
        return with_router(config, lambda router: work(_probing(router)))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _probing(router: Router) -> Look:
    """Return a look that asks every endpoint; it remembers what changed between looks."""
    history, started = History(anyio.current_time), anyio.current_time()

    async def look() -> dict[str, Any]:
        took = await probe_all(router)
        now = anyio.current_time()
        standings = [(each, router.board.standing(each, "", now)) for each in router.fleet.endpoints()]
        history.observe((endpoint, standing.state, standing.error) for endpoint, standing in standings)
        seen = overview(router, history, now, started)
        probes = {(each.runtime, each.url): seconds for each, seconds in took.items()}
        for endpoint in seen["endpoints"]:
            endpoint["probe_s"] = probes.get((endpoint["runtime"], endpoint["url"]))
        return seen

    return look


async def _once(look: Look) -> dict[str, Any]:
    return await look()


async def _watch(look: Look) -> dict[str, Any]:
    """Show what a look sees until interrupted; a server that does not answer is waited for."""
    shown: Group | None = None
    with Live(console=stdout(), auto_refresh=False) as live:
        while True:
            try:
                shown = tables(await look())
                live.update(shown, refresh=True)
            except RouterError as error:
                live.update(Group(*([shown] if shown else []), Text(str(error), style="red")), refresh=True)
            await anyio.sleep(REFRESH_S)
