"""Puts a command line together, and imports of it only what the command at hand needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import typer


def command_line(name: str, about: str, homes: Mapping[str, str], asked: str | None) -> typer.Typer:
    """Return the command line; `homes` says in which module each command is, and `asked` which one is wanted.

    Some clients start a server for every call, and the other commands would cost each of those 0.1 s.
    """
    app = typer.Typer(
        name=name,
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        callback=_none,
    )
    for command in [asked] if asked is not None and asked in homes else homes:
        module, attribute = homes[command].split(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    return app


def _none() -> None:
    """Keep a lone command a word of its own."""
