"""`router-mcp config`: check a policy file, show the one in force, print its JSON Schema."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from router_mcp.cli.checking import report_flaws, report_good
from router_mcp.cli.session import ConfigOption, JsonOption
from router_mcp.cli.terminal import print_json
from router_mcp.config import default_path, load_config
from router_mcp.config.policy_file import json_schema
from router_mcp.config.smoke_file import smoke_schema
from router_mcp.config.warmup_file import warmup_schema

app = typer.Typer(help="Check, show and describe the policy file.", no_args_is_help=True)


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="The file. Default: the one in force.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say whether a policy file is right; exit 2 with file:line, key and remedy for everything that is not."""
    file = path or config or default_path()
    with report_flaws(file, as_json=as_json):
        policy = load_config(file)
    counts = {
        "tasks": len(policy.generative_tasks()),
        "models": len(policy.models),
        "runtimes": len(policy.runtimes),
    }
    report_good(file, counts, as_json=as_json)


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print the policy in force as JSON: variables expanded, defaults filled in, secrets never."""
    print_json(load_config(config or default_path()).model_dump(mode="json", exclude_none=True))


class SchemaOf(StrEnum):
    """Files that have a schema."""

    policy = "policy"
    warmup = "warmup"
    smoke = "smoke"


@app.command()
def schema(
    of: Annotated[SchemaOf, typer.Option("--of", help="Which file's.")] = SchemaOf.policy,
) -> None:
    """Print the JSON Schema of the policy file (or of another), for editors."""
    schemas = {SchemaOf.policy: json_schema, SchemaOf.warmup: warmup_schema, SchemaOf.smoke: smoke_schema}
    print_json(schemas[of]())
