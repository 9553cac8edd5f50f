"""The official conformance suite against our servers, in every revision of the protocol that they serve.

(a) As they ship: whatever needs no fixture passes, and `*.yml` beside this file lists the rest. The suite refuses a
list that names what passes, so it is never longer than it must be. (b) With fixtures: everything passes, which shows
that our tools, limits, guard and runner leave the protocol whole.
"""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Runs
from tests.conformance.suite import REVISIONS, SERVERS, TASKS

LEAST = {"2025-06-18": 50, "2025-11-25": 75, "2026-07-28": 145}
"""Checks that pass in a revision. A suite that finds less to check has not seen the server."""


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("server", SERVERS)
def test_the_server_that_ships_fails_nothing_but_what_needs_fixtures(runs: Runs, server: str, revision: str) -> None:
    report = runs["ships", server, revision].result()
    assert report.status == 0, report.story()
    assert report.count("SUCCESS") >= LEAST[revision] / 2


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("server", SERVERS)
def test_with_fixtures_every_check_passes(runs: Runs, server: str, revision: str) -> None:
    report = runs["fixtures", server, revision].result()
    assert report.status == 0, report.story()
    assert report.count("FAILURE") == 0, report.story()
    assert report.count("SUCCESS") >= LEAST[revision]


@pytest.mark.parametrize("scenario", TASKS)
def test_every_scenario_of_tasks_that_applies_passes(runs: Runs, scenario: str) -> None:
    report = runs["fixtures", "router", scenario].result()
    assert report.status == 0, report.story()
    assert report.count("FAILURE") == 0, report.story()
    assert report.count("SUCCESS") > 1


def test_the_embeddings_server_gives_handles_by_the_same_code(runs: Runs) -> None:
    report = runs["fixtures", "embeddings", TASKS[0]].result()
    assert report.status == 0, report.story()
