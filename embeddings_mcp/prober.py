"""Asks endpoints how they are, each on its own schedule. The only loop that sleeps."""

from __future__ import annotations

import anyio

from embeddings_mcp.config.file import BackendConfig
from embeddings_mcp.embedder import Embedder
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import AttemptError, ModelMissingError, StalledError


class Prober:
    """Keeps an embedder's health board fresh while `run` runs."""

    def __init__(self, embedder: Embedder) -> None:
        self._file = embedder.file
        self._dispatch = embedder.dispatch

    async def run(self) -> None:
        """Probe every endpoint every `health.interval` seconds, until cancelled."""
        while True:
            await self.probe_all()
            await anyio.sleep(self._file.health.interval)

    async def probe_all(self) -> None:
        """Probe every endpoint once, all at the same time."""
        async with anyio.create_task_group() as group:
            for name in self._file.backends:
                for endpoint in self._file.endpoints(name):
                    group.start_soon(self.probe, endpoint)

    async def probe(self, endpoint: Endpoint) -> None:
        """Ask one endpoint now, and record what it says."""
        board, limit_s = self._dispatch.board, self._file.health.timeout
        try:
            with anyio.fail_after(limit_s):
                probe = await self._dispatch.backends[endpoint.runtime].probe(endpoint)
        except TimeoutError:
            error: AttemptError = StalledError(f"{endpoint} did not answer a health check within {limit_s:g} s.")
        except AttemptError as failure:
            error = failure
        else:
            self._believe(endpoint, probe)
            return
        board.failed(endpoint, None, error, self._dispatch.clock())

    def _believe(self, endpoint: Endpoint, probe: Probe) -> None:
        """Record a good probe: the endpoint can be reached, and has the models that it says."""
        board, now, file = self._dispatch.board, self._dispatch.clock(), self._file
        mine = [name for name, model in file.models.items() if model.backend == endpoint.runtime]
        there = None if probe.models is None else {name for name in mine if file.served_name(name) in probe.models}
        board.probed(endpoint, None if there is None else frozenset(there), now)
        for name in mine:
            if there is not None and name not in there:
                remedy = _remedy(file.backends[endpoint.runtime], file.served_name(name))
                board.failed(endpoint, name, ModelMissingError(f"{endpoint} does not have {name}. {remedy}"), now)


def _remedy(backend: BackendConfig, name: str) -> str:
    if backend.kind == "ollama":
        return f"Run `ollama pull {name}` there, or correct served_name."
    return "Load it there, or correct served_name."
