"""What most commands begin with: the configuration in force, an embedder opened on it, and texts from lines."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, TypeVar

import anyio
import typer

from router_mcp.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from embeddings_mcp.embedder import Embedder

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Configuration. Default: $EMBEDDINGS_MCP_CONFIG, else the one shipped.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Embedding model. Default: defaults.model.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Whose work this is.")]
TruncateOption = Annotated[bool, typer.Option("--truncate", help="Cut texts that are too long, and say which.")]
LinesArgument = Annotated[
    str, typer.Argument(metavar="[FILE|-]", help="A text a line; - is stdin. Blank lines are skipped.")
]


def with_embedder(config: Path | None, work: Callable[[Embedder], Awaitable[T]]) -> T:
    """Open an embedder on the configuration, do the work, close it; return what the work returns."""

    from embeddings_mcp.config import default_path, load_config  # noqa: PLC0415 - the options alone need neither
    from embeddings_mcp.wiring import open_embedder  # noqa: PLC0415 - as above

    async def run() -> T:
        async with open_embedder(load_config(config or default_path())) as embedder:
            return await work(embedder)

    return anyio.run(run)


@contextmanager
def opened_lines(source: str) -> Generator[Iterator[str]]:
    """Give the texts of a file, one a line, or those of stdin when it is `-`."""
    if source == "-":
        yield _texts(sys.stdin)
        return
    try:
        file = Path(source).open(encoding="utf-8")  # noqa: SIM115 - closed below; the `with` must not cover the caller
    except OSError as error:
        raise InvalidArgumentsError(f"{source}: cannot be read ({error.strerror}). Give another file, or -.") from None
    with file:
        yield _texts(file)


def _texts(file: TextIO) -> Iterator[str]:
    try:
        for line in file:
            if text := line.strip():
                yield text
    except UnicodeDecodeError:
        raise InvalidArgumentsError("The input is not UTF-8 text. Convert it first.") from None
