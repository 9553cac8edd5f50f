"""`embeddings-mcp rank`: which of some lines fit a query."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from embeddings_mcp.cli.session import (
    ConfigOption,
    JsonOption,
    LinesArgument,
    ModelOption,
    TenantOption,
    TruncateOption,
    opened_lines,
    with_embedder,
)
from embeddings_mcp.domain import RankRequest
from router_mcp.cli.terminal import print_json, stderr, stdout


def rank(
    query: Annotated[str, typer.Argument(help="The question, or whatever the texts should be like.")],
    lines: LinesArgument = "-",
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Show only the best so many.")] = None,
    model: ModelOption = None,
    truncate: TruncateOption = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Put lines in order of how well they fit a query, best first."""
    with opened_lines(lines) as texts:
        request = RankRequest(
            query=query, texts=tuple(texts), top_k=top_k, model=model, truncate=truncate, tenant=tenant
        )
    result = with_embedder(config, lambda embedder: embedder.rank(request))
    if as_json:
        print_json(asdict(result))
        return
    table = Table(box=None, header_style="dim")
    table.add_column("index", justify="right")
    table.add_column("score", justify="right")
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for each in result.results:
        table.add_row(str(each.index), f"{each.score:.4f}", Text(request.texts[each.index]))
    stdout().print(table)
    tokens, seconds = result.usage.input_tokens, result.receipt.seconds
    stderr().print(Text(f"{result.model}, {seconds:.2f} s, {tokens:,} tokens", style="dim"))
