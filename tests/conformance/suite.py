"""The official conformance suite, installed into the user's cache by package name, and what one run of it found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.clients.npm import NodeFolder, Said, installed

PACKAGE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
SERVERS = ("router", "embeddings")
REVISIONS = ("2025-06-18", "2025-11-25", "2026-07-28")
TASKS = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)
"""What applies of the Tasks extension. Not `tasks-mrtr-input`, because no call of ours asks for anything while it
runs, and not `tasks-status-notifications`, which this version of the suite only announces."""
RUN_S = 300


@dataclass(frozen=True)
class Report:
    """What one run of the suite said and found; `status` is 0 when nothing failed that was not expected to."""

    said: Said
    checks: list[dict[str, Any]]

    @property
    def status(self) -> int:
        return self.said.status

    def count(self, status: str) -> int:
        """Return how many checks ended so: SUCCESS, FAILURE, WARNING, INFO or SKIPPED."""
        return sum(check["status"] == status for check in self.checks)

    def story(self) -> str:
        """Say what failed and why, for whoever reads a failed test."""
        failed = [
            f"{check['id']}: {check.get('errorMessage')}" for check in self.checks if check["status"] == "FAILURE"
        ]
        summary = self.said.stdout[self.said.stdout.find("=== SUMMARY") :]
        return "\n".join((*failed, summary, self.said.stderr))


@dataclass(frozen=True)
class Suite:
    """An installed suite."""

    node: NodeFolder

    def revision(self, url: str, revision: str, baseline: Path | None = None) -> Report:
        """Run every scenario of a revision; those in the baseline must fail, all others must not."""
        expected = ("--expected-failures", str(baseline)) if baseline else ()
        return self._run(url, "--suite", "all", "--spec-version", revision, *expected)

    def scenario(self, url: str, name: str) -> Report:
        """Run one scenario, at the newest revision that has it."""
        return self._run(url, "--scenario", name)

    def _run(self, url: str, *arguments: str) -> Report:
        script = self.node.folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
        with TemporaryDirectory() as folder:
            said = self.node.run(script, "server", "--url", url, "-o", folder, *arguments, timeout_s=RUN_S)
            files = sorted(Path(folder).glob("*/checks.json"))
            return Report(said, [check for file in files for check in json.loads(file.read_text())])


def install_suite() -> Suite:
    """Return the suite, installing it first when the cache does not have it."""
    return Suite(installed([PACKAGE]))
