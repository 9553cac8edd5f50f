"""Where MCP clients keep their servers, and how an entry of ours gets in. Nothing is written here."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from router_mcp.errors import ConfigError

Scope: TypeAlias = Literal["user", "project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client with a JSON file of servers. Paths are relative: to the home folder, and to the project's."""

    title: str
    key: str
    """Under which the file has its servers."""
    linux: str
    mac: str
    project: str | None
    typed: bool = False
    """Whether an entry says that it is stdio."""

    def path(self, scope: Scope, home: Path, here: Path) -> Path:
        """Return the file; raises `ConfigError` when the client has none for projects."""
        if scope == "user":
            return home / (self.mac if sys.platform == "darwin" else self.linux)
        if self.project is None:
            raise ConfigError(f"{self.title} has no configuration of projects. Leave --scope out.")
        return here / self.project


CLIENTS: Mapping[str, Client] = {
    "claude": Client(
        title="Claude Code",
        key="mcpServers",
        linux=".claude.json",
        mac=".claude.json",
        project=".mcp.json",
        typed=True,
    ),
    "claude-desktop": Client(
        title="Claude Desktop",
        key="mcpServers",
        linux=".config/Claude/claude_desktop_config.json",
        mac="Library/Application Support/Claude/claude_desktop_config.json",
        project=None,
    ),
    "cursor": Client(
        title="Cursor",
        key="mcpServers",
        linux=".cursor/mcp.json",
        mac=".cursor/mcp.json",
        project=".cursor/mcp.json",
    ),
    "vscode": Client(
        title="VS Code",
        key="servers",
        linux=".config/Code/User/mcp.json",
        mac="Library/Application Support/Code/User/mcp.json",
        project=".vscode/mcp.json",
        typed=True,
    ),
}


def entry(command: Sequence[str], env: Mapping[str, str], *, typed: bool) -> dict[str, Any]:
    """Return the entry that starts a server by a command."""
    made: dict[str, Any] = {"type": "stdio"} if typed else {}
    made |= {"command": command[0], "args": list(command[1:])}
    return {**made, "env": dict(env)} if env else made


@dataclass(frozen=True, slots=True)
class Change:
    """What would become of a file; `after` equals `before` when the entries are there already."""

    path: Path
    key: str
    before: str | None
    after: str
    old: Mapping[str, Any]
    """The entries that would be replaced, by name."""
    new: Mapping[str, Any]

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return all(self.old.get(name) == value for name, value in self.new.items())


def change(path: Path, key: str, entries: Mapping[str, Any]) -> Change:
    """Work out what to write into a client's file; everything else in it stays as it is.

    Raises `ConfigError` for a file that cannot be read as JSON: one with comments would lose them.
    """
    before = _read(path)
    try:
        whole = json.loads(before) if before and before.strip() else {}
    except ValueError as error:
        raise ConfigError(f"{path}: not plain JSON ({error}). Add the entry by hand: --print shows it.") from None
    servers = whole.get(key, {}) if isinstance(whole, dict) else None
    if not isinstance(servers, dict):
        raise ConfigError(f"{path}: {key!r} is not an object. Add the entry by hand: --print shows it.")
    old = {name: servers[name] for name in entries if name in servers}
    whole[key] = {**servers, **entries}
    after = json.dumps(whole, indent=_indent(before), ensure_ascii=False) + "\n"
    return Change(path, key, before, after, old, entries)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason}). Mend it, or use --print.") from None


def _indent(text: str | None) -> int | str:
    """Return how the file is indented, so that nothing else in it changes."""
    found = re.search(r"\n([ \t]+)\S", text or "")
    return found[1] if found else 2
