"""What `config check` of either command says of a file: to people on stderr, to programs as one JSON object."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer

from router_mcp.cli.terminal import complain, print_json, stderr
from router_mcp.config.flaws import Flaw, FlawedFileError
from router_mcp.errors import ConfigError


@contextmanager
def report_flaws(file: Path, *, as_json: bool) -> Generator[None]:
    """Report a `ConfigError` of the body as JSON and end with exit code 2; without `as_json`, let it pass."""
    try:
        yield
    except ConfigError as error:
        if not as_json:
            raise
        flaws = error.flaws if isinstance(error, FlawedFileError) else (Flaw(1, "", str(error)),)
        print_json({"file": str(file), "valid": False, "problems": [asdict(flaw) for flaw in flaws]})
        complain(str(error))
        raise typer.Exit(2) from None


def report_good(file: Path, counts: Mapping[str, int], *, as_json: bool) -> None:
    """Say that a file is right and how much of what it holds."""
    if as_json:
        print_json({"file": str(file), "valid": True, "problems": [], **counts})
        return
    held = ", ".join(f"{count} {what}" for what, count in counts.items())
    stderr().print(f"{file}: good. {held}.", soft_wrap=True)
