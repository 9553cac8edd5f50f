"""Tables that fit the terminal: columns that say nothing are left out, then those that can best be spared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2
_WRAPPED = 16
"""Cells that a column whose text may be wrapped needs at least."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and how soon its column may go: the highest first, and 0 never."""

    heading: str
    spare: int = 0
    wraps: bool = False


@dataclass(slots=True)
class FittedTable:
    """Rows under columns, of which as many are printed as the console has room for."""

    title: str
    columns: Sequence[Column]
    rows: list[tuple[Sequence[str], str]] = field(default_factory=list)
    """Cells, and a style."""

    def add(self, *cells: str, style: str = "") -> None:
        """Add a row."""
        self.rows.append((cells, style))

    def shown(self, width: int) -> list[int]:
        """Return which columns, by position, are printed on a console so wide."""
        chosen = [place for place in range(len(self.columns)) if any(cells[place] for cells, _ in self.rows)]
        while sum(self._needs(place) + _GAP for place in chosen) > width:
            most = max((self.columns[place].spare for place in chosen), default=0)
            if most == 0:
                break
            chosen = [place for place in chosen if self.columns[place].spare < most]
        return chosen

    def _needs(self, place: int) -> int:
        column = self.columns[place]
        needs = max(cell_len(text) for text in (column.heading, *(cells[place] for cells, _ in self.rows)))
        return min(needs, _WRAPPED) if column.wraps else needs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table as it fits."""
        shown = self.shown(options.max_width)
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0))
        table.show_edge = False
        for place in shown:
            column = self.columns[place]
            table.add_column(column.heading, overflow="fold", no_wrap=not column.wraps)
        for cells, style in self.rows:
            table.add_row(*(Text(cells[place]) for place in shown), style=style)  # names may have brackets
        yield table
        yield ""


def listed(texts: Iterable[str]) -> list[str]:
    """Return each text once, in order, without those that say nothing."""
    return [text for text in dict.fromkeys(texts) if text]
