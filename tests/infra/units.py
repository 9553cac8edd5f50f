"""systemd units and cron lines, read as their programs read them."""

from __future__ import annotations

import re
import shlex

from tests.infra import served

UNITS = served.ROOT / "infra" / "systemd"


def unit(name: str) -> dict[str, dict[str, str]]:
    """Return the sections of a unit file."""
    sections: dict[str, dict[str, str]] = {}
    keys: dict[str, str] = {}
    for line in lines(name):
        if line.startswith("["):
            keys = sections.setdefault(line.strip("[]"), {})
        else:
            key, _, value = line.partition("=")
            keys[key] = value
    return sections


def exec_start(name: str) -> list[str]:
    """Return the command that a service runs."""
    return shlex.split(unit(name)["Service"]["ExecStart"])


def cron_command(name: str) -> list[str]:
    """Return the router's command of a file for /etc/cron.d, without where its output goes."""
    words = shlex.split(cron_line(name).rpartition("&&")[2])
    return words[: next(index for index, word in enumerate(words) if word.startswith((">", "2>")))]


def cron_line(name: str) -> str:
    """Return the line of a file for /etc/cron.d that has a time, below the variables that cron sets for it."""
    [line] = [line for line in lines(name) if not re.match(r"[A-Z]+=", line)]
    return line


def lines(name: str) -> list[str]:
    """Return what a file says, without its comments."""
    text = (UNITS / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]
