"""What a run found, as Markdown: tables, and the claims of issue 10, each with what it asks and what was found."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

PACKAGES = ("mcp", "aiohttp", "httpx", "anyio", "pydantic", "orjson", "uvicorn")


@dataclass(frozen=True)
class Claim:
    """Something that must hold: a number, and the most or the least that it may be."""

    text: str
    found: float
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return (self.most is None or self.found <= self.most) and (self.least is None or self.found >= self.least)

    def row(self) -> list[str]:
        """Return it as a table's row."""
        limit = f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"
        return [self.text, f"{limit}{self.unit}", f"{shown(self.found)}{self.unit}", "yes" if self.holds else "**no**"]


@dataclass
class Section:
    """One part of the page."""

    title: str
    about: str
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def markdown(self) -> str:
        """Return it as Markdown."""
        table = [*_table(self.header, self.rows), ""] if self.rows else []
        return "\n".join([f"## {self.title}", "", self.about, "", *table])


def shown(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median_ratio(ones: Iterable[float], others: Iterable[float]) -> float:
    """Return the median of the ratios of paired rounds."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def page(sections: Sequence[Section], *, how: str, skipped: Sequence[str]) -> str:
    """Return the whole page."""
    claims = [claim for section in sections for claim in section.claims]
    lines = [
        "# Results",
        "",
        f"Written by `{how}` on {machine()}.",
        "",
        "Ratios are medians of paired rounds of this one run, CPU is that of the process alone. Machines differ and",
        "are noisy, so nothing here but a ratio says anything of another one.",
        "",
        *_table(["what must hold", "limit", "found", "holds"], [claim.row() for claim in claims]),
        "",
        *(f"Not run: {each}" for each in skipped),
        *([""] if skipped else []),
        *(section.markdown() for section in sections),
    ]
    return "\n".join(lines).rstrip() + "\n"


def machine() -> str:
    """Return what ran this: processor, cores, load, system, versions; never its name."""
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    cores = f"{os.cpu_count()} cores of {_processor()}"
    return f"{cores}{load}, {platform.system()}, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.machine()


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["--:"] * (len(header) - 1)) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]
