"""`router-mcp install`: put the server into a client's configuration, after showing what would be written."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer

from router_mcp.cli.client_files import CLIENTS, Change, change, entry
from router_mcp.cli.session import ConfigOption
from router_mcp.cli.terminal import print_json, stderr
from router_mcp.config import load_config
from router_mcp.errors import InvalidArgumentsError

SERVERS = {"router": ("router-mcp", "router_mcp"), "embeddings": ("embeddings-mcp", "embeddings_mcp")}


class ClientName(StrEnum):
    """Clients whose files are known."""

    claude = "claude"
    claude_desktop = "claude-desktop"
    cursor = "cursor"
    vscode = "vscode"


class ScopeName(StrEnum):
    """For whom the server is installed."""

    user = "user"
    project = "project"


def install(
    client: Annotated[ClientName, typer.Argument(help="The client to configure.")],
    scope: Annotated[ScopeName, typer.Option(help="For you everywhere, or for this folder.")] = ScopeName.user,
    config: ConfigOption = None,
    env: Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="For the server.")] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Add the embeddings server too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the entry and write nothing.")] = False,
) -> None:
    """Add the server to a client's configuration: shown first, backed up, and nothing the second time."""
    about = CLIENTS[client.value]
    options = ["--config", str(_checked(config))] if config else []
    commands = {"router": [*command("router"), "serve", *options]}
    if embeddings:
        commands["embeddings"] = [*command("embeddings"), "serve"]
    variables = _variables(env or [])
    entries = {name: entry(words, variables, typed=about.typed) for name, words in commands.items()}
    if only_print:
        print_json({about.key: entries})
        return
    planned = change(about.path(scope.value, Path.home(), Path.cwd()), about.key, entries)
    _show(planned, about.title)
    if planned.nothing:
        return
    if not yes and not typer.confirm("Write it?", err=True):
        raise typer.Exit(1)
    backup = write(planned)
    stderr().print(f"Written. Restart {about.title} to see it.{f' Backup: {backup}' if backup else ''}", soft_wrap=True)


def command(server: str) -> list[str]:
    """Return the command of a server by its full path: programs started from a desktop have no PATH of yours."""
    script, module = SERVERS[server]
    beside = Path(sys.executable).with_name(script)
    return [str(beside)] if beside.exists() else [sys.executable, "-m", module]


def write(planned: Change) -> Path | None:
    """Write the change whole or not at all, and return the backup of what was there before."""
    path = planned.path.resolve()  # a link to a file kept elsewhere stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if planned.before is not None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        backup = path.with_name(f"{path.name}.{moment}.bak")
        shutil.copy2(path, backup)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(planned.after)
    made = Path(file.name)
    if backup is not None:
        shutil.copymode(backup, made)
    made.replace(path)
    return backup


def _checked(config: Path) -> Path:
    """Return the policy's full path, after reading it: a client shows little of what a server says at its start."""
    load_config(config)
    return config.resolve()


def _variables(given: list[str]) -> dict[str, str]:
    pairs = dict(each.partition("=")[::2] for each in given)
    if wrong := [each for each in given if "=" not in each or each.startswith("=")]:
        raise InvalidArgumentsError(f"--env {wrong[0]}: not NAME=VALUE. Write it so.")
    return pairs


def _show(planned: Change, title: str) -> None:
    """Show the entries, and no other part of the file: it may hold secrets."""
    console = stderr()
    console.print(f"{title}: {planned.path}", soft_wrap=True)
    if planned.nothing:
        console.print("It has the server already. Nothing is written.")
        return
    for name, new in planned.new.items():
        if name in planned.old:
            console.print(f"- {planned.key}.{name}: {planned.old[name]}", markup=False, soft_wrap=True, style="red")
        console.print(f"+ {planned.key}.{name}: {new}", markup=False, soft_wrap=True, style="green")
