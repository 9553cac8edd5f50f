"""`embeddings-mcp status`: every model and endpoint as it is now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from embeddings_mcp.catalog import EndpointCard, not_ready
from embeddings_mcp.cli.session import ConfigOption, JsonOption, with_embedder
from embeddings_mcp.domain import ModelCard
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.prober import Prober
from router_mcp.cli.status_view import seconds
from router_mcp.cli.tables import Column, FittedTable, listed
from router_mcp.cli.terminal import STATE_STYLE, print_json, stdout

REFRESH_S = 2.0
_ENDPOINT = (
    *(Column("backend"), Column("kind", 2), Column("endpoint"), Column("state"), Column("for")),
    *(Column("in flight", 1), Column("waiting", 1)),
)
_MODEL = (
    *(Column("model"), Column("backend", 2), Column("state"), Column("dimensions", 1, wraps=True)),
    *(Column("tokens", 3), Column("space", 4)),
)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep the table fresh until interrupted.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the state of every endpoint and model; exit 1 when no model can serve."""
    if watch:
        _watch(config)
        return

    async def work(embedder: Embedder) -> tuple[tuple[EndpointCard, ...], tuple[ModelCard, ...]]:
        await Prober(embedder).probe_all()
        return embedder.endpoint_cards(), embedder.cards()

    endpoints, models = with_embedder(config, work)
    if as_json:
        print_json(_json(endpoints, models))
    else:
        stdout().print(_tables(endpoints, models))
    if not_ready(models):
        raise typer.Exit(1)


def _watch(config: Path | None) -> None:
    async def work(embedder: Embedder) -> None:
        prober = Prober(embedder)
        with Live(console=stdout(), auto_refresh=False) as live:
            while True:
                await prober.probe_all()
                live.update(_tables(embedder.endpoint_cards(), embedder.cards()), refresh=True)
                await anyio.sleep(REFRESH_S)

    try:
        with_embedder(config, work)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _json(endpoints: tuple[EndpointCard, ...], models: tuple[ModelCard, ...]) -> dict[str, Any]:
    return {"endpoints": [asdict(each) for each in endpoints], "models": [asdict(each) for each in models]}


def _tables(endpoints: tuple[EndpointCard, ...], models: tuple[ModelCard, ...]) -> Group:
    places = FittedTable("Endpoints", _ENDPOINT)
    for each in endpoints:
        places.add(
            each.backend,
            each.kind,
            each.url,
            each.state,
            seconds(each.since_s),
            f"{each.in_flight}/{each.max_concurrency}",
            str(each.queued or ""),
            style=STATE_STYLE[each.state],
        )
    catalog = FittedTable("Models", _MODEL)
    for model in models:
        name = f"{model.name} (default)" if model.default else model.name
        sizes, limit = ", ".join(map(str, model.allowed_dimensions)), f"{model.max_input_tokens:,}"
        row = (name, model.backend, model.state, sizes, limit, model.space)
        catalog.add(*row, style=STATE_STYLE[model.state])
    details = listed([*(each.error or "" for each in endpoints), *(model.detail or "" for model in models)])
    return Group(places, catalog, *(Text(detail, style="red") for detail in details))
