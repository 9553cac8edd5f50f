"""The suite is Node's and the servers are processes: everything here runs on the real clock, several runs at a time.

A run mostly waits for its own time limits, so together they take a third of their sum.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from router_mcp.config import profile_path, shipped
from tests.clients.served import answering, serve_over_http
from tests.conformance.suite import REVISIONS, SERVERS, TASKS, Report, install_suite

AT_ONCE = 4
Runs: TypeAlias = dict[tuple[str, str, str], Future[Report]]
"""What was run: `ships` or `fixtures`, the server, the revision or scenario."""


@pytest.fixture(scope="session")
def urls() -> Generator[dict[tuple[str, str], str]]:
    """The servers as they are installed, and the same with everything that the suite asks for."""
    fixtures = [sys.executable, "-W", "ignore", "-m", "tests.conformance.server"]
    with ExitStack() as stack, ThreadPoolExecutor() as starters:
        starting = {
            ("ships", "router"): serve_over_http("router_mcp", profile_path("embedded")),
            ("ships", "embeddings"): serve_over_http("embeddings_mcp", shipped("embeddings/embedded.yaml")),
            **{("fixtures", name): answering([*fixtures, name]) for name in SERVERS},
        }
        started = {key: starters.submit(stack.enter_context, server) for key, server in starting.items()}
        yield {key: url.result() for key, url in started.items()}


@pytest.fixture(scope="session")
def runs(urls: dict[tuple[str, str], str]) -> Generator[Runs]:
    """Every run of the suite, each perhaps not at its end yet."""
    suite = install_suite()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found: Runs = {}
        for (kind, server), url in urls.items():
            baseline = Path(__file__).with_name(f"{server}.yml") if kind == "ships" else None
            for revision in reversed(REVISIONS):
                found[kind, server, revision] = pool.submit(suite.revision, url, revision, baseline)
        for server, scenario in (*(("router", name) for name in TASKS), ("embeddings", TASKS[0])):
            found["fixtures", server, scenario] = pool.submit(suite.scenario, urls["fixtures", server], scenario)
        yield found
