"""Clients that others wrote, each with its own packages, call a real server process on a real model (`make clients`
runs all of them).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.clients.matrix.clients import LIBRARIES
from tests.clients.matrix.row import Row
from tests.clients.matrix.run import BEGIN, END, PAGE, Result, with_table

FAST = [library.name for library in LIBRARIES if library.fast]


@pytest.fixture(scope="module")
def runs() -> dict[str, Future[Row]]:
    """The runs of the fast clients, which mostly wait for their own imports: two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return {library.name: pool.submit(library.run) for library in LIBRARIES if library.fast}


@pytest.mark.parametrize("client", FAST)
def test_a_client_lists_generates_reads_data_and_survives_an_error(runs: dict[str, Future[Row]], client: str) -> None:
    row = runs[client].result()
    assert row.lists(), row.tools
    assert row.generates(), row.text
    assert row.reads_data(), row.data
    assert row.goes_on(), (row.error, row.again)


def test_a_client_that_fails_shows_in_the_table() -> None:
    library = LIBRARIES[0]
    failed, blind = Result(library, None, "no"), Result(library, Row(version="1"))
    assert not failed.good
    assert not blind.good
    page = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", [failed, blind])
    assert page.startswith(f"before\n{BEGIN}\n| client")
    assert page.endswith(f"{END}\nafter\n")
    assert page.count("✗") == 8
    assert "old" not in page


def test_the_page_has_a_row_for_every_client_and_none_failed() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for library in LIBRARIES:
        assert f"| {library.name} |" in table
    assert "✗" not in table
