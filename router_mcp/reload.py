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
from router_mcp.state.directory import Fingerprint, fingerprint
from router_mcp.telemetry.base import Reloaded

LOOK_EVERY_S = 0.5
"""Seconds between looks at the file; it is followed within two, also where the machine is busy."""

_log = logging.getLogger(__name__)


class Reloader:
    """Keeps a router on the policy that its file holds, for as long as `run` runs.

    `seen` is the file's fingerprint from before the router's policy was read, so that no change falls in between.
    """

    def __init__(
        self, router: Router, path: Path, load: Callable[[Path], PolicyFile], *, seen: Fingerprint = None
    ) -> None:
        self._router = router
        self._path = path
        self._load = load
        self._seen = seen or fingerprint(path)
        self.error: str | None = None
        """Why the file as it stands is not in force; `None` when it is."""

    async def run(self) -> None:
        """Watch until cancelled. Editors replace files and Kubernetes swaps links: both are seen."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            if fingerprint(self._path) != self._seen:
                self.reload()
            await self._router.tidy()

    def reload(self) -> bool:
        """Read the file now (SIGHUP does this) and tell whether it is in force."""
        self._seen = fingerprint(self._path)
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
