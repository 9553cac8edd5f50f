"""What is wrong with a configuration file, said to people in sentences and to programs in fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from router_mcp.errors import ConfigError

MAX_SAID = 20
"""Flaws that one message lists; it says how many more there are."""


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """One thing to put right: its line (from 1), its dotted key (empty for the whole file), and what to do."""

    line: int
    key: str
    message: str


class FlawedFileError(ConfigError):
    """A configuration file with `flaws`, in the order of the file."""

    def __init__(self, path: Path, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(sorted(set(flaws)))
        said = [_sentence(path, flaw) for flaw in self.flaws[:MAX_SAID]]
        if len(self.flaws) > MAX_SAID:
            said.append(f"{path}: and {len(self.flaws) - MAX_SAID} more problems. Correct these first.")
        super().__init__("\n".join(said))


def _sentence(path: Path, flaw: Flaw) -> str:
    return f"{path}:{flaw.line}: {flaw.key + ': ' if flaw.key else ''}{flaw.message}"
