"""Puts a command line together, and imports of it only what the command at hand needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated

import typer

from router_mcp import __version__


def command_line(name: str, about: str, homes: Mapping[str, str], asked: str | None) -> typer.Typer:
    """Return the command line; `homes` says in which module each command is, and `asked` which one is wanted.

    Some clients start a server for every call, and the other commands would cost each of those 0.1 s.
    """
    app = typer.Typer(
        name=name,
        help=about,
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        callback=_options,
    )
    for command in [asked] if asked is not None and asked in homes else homes:
        module, attribute = homes[command].split(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    return app


def _options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Take what stands before a command; without it, a lone command would not be a word of its own."""
    if version:
        typer.echo(f"{ctx.info_name} {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)
