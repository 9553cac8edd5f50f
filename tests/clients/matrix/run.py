"""`make clients`: run every client against a real server on a real model, and keep what each saw in docs/clients.md.

    python -m tests.clients.matrix.run [NAME …]

With names, only those run and nothing is written. The exit status is 1 when a client did not get what it should.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.matrix.agents import AGENTS, Agent
from tests.clients.matrix.clients import LIBRARIES, Library
from tests.clients.matrix.row import Row

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
BEGIN, END = "<!-- matrix: made by `make clients` -->", "<!-- /matrix -->"
HEAD = "| client | version | lists | generates | reads `data` | error, then goes on | to know |"


@dataclass(frozen=True)
class Result:
    """One client's run: what it saw, or why there is nothing."""

    client: Library | Agent
    row: Row | None
    failure: str | None = None

    @property
    def good(self) -> bool:
        """Everything that this client can do went well."""
        whole = not isinstance(self.client, Agent) or self.client.whole
        return self.row is not None and self.row.lists() and (not whole or all(self.marks()))

    def marks(self) -> tuple[bool, bool, bool]:
        """Generates, reads data, sees an error and goes on."""
        return (self.row.generates(), self.row.reads_data(), self.row.goes_on()) if self.row else (False, False, False)

    def line(self) -> str:
        """Return the row of the table."""
        whole = not isinstance(self.client, Agent) or self.client.whole
        marks = ["✓" if mark else "✗" if whole else "–" for mark in self.marks()]
        lists = "✓" if self.row and self.row.lists() else "✗"
        cells = [self.client.name, self.row.version if self.row else "?", lists, *marks, self.client.remark]
        return f"| {' | '.join(cells)} |"


def try_all(names: Sequence[str]) -> Iterator[Result]:
    """Run the clients one after another, and say on the terminal how each went."""
    for client in (*AGENTS, *LIBRARIES):
        if names and not any(name.lower() in client.name.lower() for name in names):
            continue
        begun = time.perf_counter()
        try:
            result = Result(client, client.run())
        except Exception as error:  # noqa: BLE001 - one client that breaks must not hide the others
            result = Result(client, None, f"{type(error).__name__}: {error}")
        sys.stdout.write(f"{'ok  ' if result.good else 'FAIL'} {client.name}, {time.perf_counter() - begun:.0f} s\n")
        if not result.good:
            sys.stdout.write(f"{result.failure or result.row}\n")
        sys.stdout.flush()
        yield result


def with_table(page: str, results: Sequence[Result]) -> str:
    """Return the page with the table of these results in place of the last one."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    rule = "|".join(["", *["---"] * HEAD.strip("|").count("|"), "---", ""])
    return "\n".join([before + BEGIN, HEAD, rule, *(result.line() for result in results), END + after])


def main() -> None:
    """Run from the command line."""
    names = sys.argv[1:]
    results = list(try_all(names))
    if not names:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
        sys.stdout.write(f"{PAGE.name} has the table.\n")
    sys.exit(0 if results and all(result.good for result in results) else 1)


if __name__ == "__main__":
    main()
