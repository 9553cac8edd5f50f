"""One line for each thing an operator (or the router itself) did to tenants and canaries, for ever."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime

from router_mcp.state.directory import StateDirectory

FILE = "audit.jsonl"
LOOKED_AT = 256 * 1024
"""Bytes at the end of the file in which a line that was written before a crash is looked for."""


def now() -> str:
    """Return the time as the state files and the audit log have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def audit(state: StateDirectory, key: str, action: str, subject: str, **details: object) -> None:
    """Write a line, unless one with this key is there: a step that is taken again after a crash is one step."""
    with state.locked("audit"):
        if any(line.get("key") == key for line in last_lines(state)):
            return
        who = {"user": _user(), "pid": os.getpid()}
        line = {"at": now(), "action": action, "subject": subject, **details, "by": who, "key": key}
        text = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")
        cut_short = not (state.read(FILE) or b"\n").endswith(b"\n")
        state.append(FILE, (b"\n" if cut_short else b"") + text + b"\n")


def _user() -> str:
    """Return whose process this is; cron, containers and systemd give it no name, so the system is asked."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nobody has
        return str(os.getuid())


def last_lines(state: StateDirectory) -> list[dict[str, object]]:
    """Return the latest lines, oldest first; a line that a crash cut short is left out."""
    lines = (state.read(FILE) or b"")[-LOOKED_AT:].split(b"\n")
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
