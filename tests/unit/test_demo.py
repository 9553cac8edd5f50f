"""The demo's output is the demo: what its servers log is shown only when something went wrong."""

from __future__ import annotations

from contextlib import suppress

import pytest

from router_mcp.cli.demo import logged_on_failure


def test_what_a_good_server_logs_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with logged_on_failure() as log:
        log.file.write("serving\n")
        log.good = True
    assert capfd.readouterr() == ("", "")


def test_what_a_server_logged_is_shown_when_its_answer_was_bad(capfd: pytest.CaptureFixture[str]) -> None:
    with logged_on_failure() as log:
        log.file.write("no weights\n")
    assert capfd.readouterr() == ("", "no weights\n")


def test_what_a_server_logged_is_shown_when_it_died(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress(ConnectionError), logged_on_failure() as log:
        log.file.write("no weights\n")
        raise ConnectionError
    assert capfd.readouterr() == ("", "no weights\n")
