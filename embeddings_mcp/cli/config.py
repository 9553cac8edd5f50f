"""`embeddings-mcp config`: check a configuration, show the one in force, print its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embeddings_mcp.cli.session import ConfigOption
from embeddings_mcp.config import default_path, load_config
from embeddings_mcp.config.file import json_schema
from router_mcp.cli.checking import report_flaws, report_good
from router_mcp.cli.session import JsonOption
from router_mcp.cli.terminal import print_json

app = typer.Typer(help="Check, show and describe the configuration.", no_args_is_help=True)


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="The file. Default: the one in force.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say whether a configuration is right; exit 2 with file:line, key and remedy for everything that is not."""
    where = path or config or default_path()
    with report_flaws(where, as_json=as_json):
        file = load_config(where)
    report_good(where, {"models": len(file.models), "backends": len(file.backends)}, as_json=as_json)


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print the configuration in force as JSON: variables expanded, defaults filled in, secrets never."""
    print_json(load_config(config or default_path()).model_dump(mode="json", exclude_none=True))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    print_json(json_schema())
