"""Follows the policy file: read, validated, then swapped whole; a bad file changes nothing and is said.

Every process watches the file itself, so operators change one file and need no process of ours to talk to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio

from router_mcp.config.policy_file import PolicyFile
from router_mcp.errors import ConfigError
from router_mcp.router import Router
from router_mcp.telemetry.base import Reloaded

LOOK_EVERY_S = 1.0
"""Seconds between looks at the file; followed within two."""

_log = logging.getLogger(__name__)


class Reloader:
    """Keeps a router on the policy that its file holds, for as long as `run` runs."""

    def __init__(self, router: Router, path: Path, load: Callable[[Path], PolicyFile]) -> None:
        self._router = router
        self._path = path
        self._load = load
        self._seen = self._fingerprint()
        self.error: str | None = None
        """Why the file as it stands is not in force; `None` when it is."""

    async def run(self) -> None:
        """Watch until cancelled. Editors replace files and Kubernetes swaps links: both are seen."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            if self._fingerprint() != self._seen:
                self.reload()

    def reload(self) -> bool:
        """Read the file now (SIGHUP does this) and tell whether it is in force."""
        self._seen = self._fingerprint()
        try:
            policy = self._load(self._path)
        except ConfigError as error:
            self.error = str(error)
            _log.error("The policy was not reloaded, the last good one stays in force: %s", error)
            self._router.telemetry.tell(Reloaded(outcome="refused"))
            return False
        self.error = None
        self._router.adopt(policy)
        _log.info("The policy was reloaded from %s.", self._path)
        return True

    def _fingerprint(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
