"""`embeddings-mcp embed`: lines of text become JSON lines or a NumPy array. A broken run is taken up where it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from embeddings_mcp.cli import records
from embeddings_mcp.cli.bulk import Bulk, Tally
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
from embeddings_mcp.domain import EmbedRequest, InputType
from embeddings_mcp.embedder import Embedder
from router_mcp.cli.terminal import print_json, stderr

Encoding = Literal["float", "base64"]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .jsonl or .npy file, taken up where it ended. Default: stdout.")
]


def embed(
    lines: LinesArgument = "-",
    output: OutputOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew instead of taking up a file.")] = False,
    model: ModelOption = None,
    input_type: Annotated[InputType, typer.Option("--input-type", help="What the texts are.")] = "document",
    dimensions: Annotated[int | None, typer.Option("--dimensions", min=1, help="Shorter vectors.")] = None,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="How vectors are written in JSON.")] = "float",
    truncate: TruncateOption = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Embed a text a line; exit 1 when one could not be: its line says `error`, its row in a .npy file is NaN."""
    request = EmbedRequest(
        texts=(), model=model, input_type=input_type, dimensions=dimensions, truncate=truncate, tenant=tenant
    )
    collected: list[dict[str, Any]] = []

    async def work(embedder: Embedder) -> Tally:
        if output is not None:
            target = _Target(output, overwrite=overwrite)
            return await target.fill(Bulk(embedder, request, target.encoding or encoding), lines)
        bulk = Bulk(embedder, request, encoding)
        with opened_lines(lines) as texts, _progress() as advance:
            return await bulk.run(texts, records.Done(), collected.append if as_json else _print, advance)

    tally = with_embedder(config, work)
    if as_json:
        print_json({**tally.summary(), **({} if output else {"embeddings": collected})})
    elif output:
        stderr().print(f"{output}: {tally.sentence()}", soft_wrap=True)
    if tally.failed:
        raise typer.Exit(1)


class _Target:
    """A file of vectors: JSON lines as they come, or an array that is made of such lines at the end."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._path = path
        self._array = path.suffix == ".npy"
        self._lines = path.with_name(f"{path.name}.part.jsonl") if self._array else path
        self.encoding: Encoding | None = "base64" if self._array else None
        if overwrite:
            self._lines.unlink(missing_ok=True)

    async def fill(self, bulk: Bulk, lines: str) -> Tally:
        done = records.take_up(self._lines)
        with opened_lines(lines) as texts:
            records.check_same(self._lines, done, bulk.kind, texts)
            with self._lines.open("ab") as file, _progress(len(done.texts)) as advance:

                def advanced(count: int) -> None:
                    file.flush()
                    advance(count)

                tally = await bulk.run(texts, done, lambda record: file.write(records.line(record)), advanced)
        if self._array:
            records.to_npy(self._lines, self._path, tally.dimensions, tally.texts)
            self._lines.unlink()
        return tally


def _print(record: dict[str, Any]) -> None:
    sys.stdout.buffer.write(records.line(record))


@contextmanager
def _progress(done: int = 0) -> Generator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs, if a person is looking."""
    console = stderr()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("embedding", total=None, completed=done)
        yield lambda count: bar.advance(task, count)
        sys.stdout.flush()
