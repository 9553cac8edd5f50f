"""`embeddings-mcp status`: every model and endpoint as it is now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from embeddings_mcp.catalog import EndpointCard, not_ready
from embeddings_mcp.cli.session import ConfigOption, JsonOption, with_embedder
from embeddings_mcp.domain import ModelCard
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.prober import Prober
from router_mcp.cli.terminal import STATE_STYLE, print_json

REFRESH_S = 2.0


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
        Console().print(_tables(endpoints, models))
    if not_ready(models):
        raise typer.Exit(1)


def _watch(config: Path | None) -> None:
    async def work(embedder: Embedder) -> None:
        prober = Prober(embedder)
        with Live(console=Console(), auto_refresh=False) as live:
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
    places = Table(title="Endpoints", title_justify="left")
    for heading in ("backend", "endpoint", "state", "for", "in flight", "queue", "last error"):
        places.add_column(heading, overflow="fold")
    for each in endpoints:
        places.add_row(
            f"{each.backend} ({each.kind})",
            each.url,
            each.state,
            "" if each.since_s is None else f"{each.since_s:.0f} s",
            f"{each.in_flight}/{each.max_concurrency}",
            str(each.queued),
            each.error or "",
            style=STATE_STYLE[each.state],
        )
    catalog = Table(title="Models", title_justify="left")
    for heading in ("model", "backend", "state", "dimensions", "tokens", "space", "detail"):
        catalog.add_column(heading, overflow="fold")
    for model in models:
        name = f"{model.name} (default)" if model.default else model.name
        sizes, limit = ", ".join(map(str, model.allowed_dimensions)), f"{model.max_input_tokens:,}"
        row = (name, model.backend, model.state, sizes, limit, model.space, model.detail or "")
        catalog.add_row(*row, style=STATE_STYLE[model.state])
    return Group(places, catalog)
