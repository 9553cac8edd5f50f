"""Any embedding model that llama.cpp can run, in a child process of this server: no server to set up, no GPU needed.

The child is the router's (`router_mcp.runtimes.llama_supervisor`), told to make vectors. It is started by the first
text and ends with this server, however that ends.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import anyio
import httpx

from embeddings_mcp.backends.openai import Wire
from embeddings_mcp.config.file import BackendConfig
from embeddings_mcp.domain import Answer, Batch
from embeddings_mcp.errors import NotInstalledError
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import BrokenStreamError, StalledError, UnreachableError
from router_mcp.runtimes.cores import usable_cores
from router_mcp.runtimes.llama_process import INSTALL, PACKAGE, LlamaProcess, LlamaSpec
from router_mcp.runtimes.llama_supervisor import Limits, LlamaSupervisor
from router_mcp.runtimes.wire import foreign_errors, status_error

MAX_SLOTS = 16
"""Each slot has a whole context in memory; more batches than this wait inside llama.cpp."""


class GgufBackend:
    """One GGUF file, served by one child process."""

    cuts_silently: ClassVar[bool] = False

    def __init__(
        self, config: BackendConfig, *, context: int, client: httpx.AsyncClient, probe_timeout_s: float
    ) -> None:
        """`context` is the longest text of the backend's models, in tokens."""
        self._config = config
        self._context = context
        self._client = client
        # A probe must come to its end before the prober loses patience, else a frozen child is never found.
        self._supervisor = LlamaSupervisor(self._spec, self._ask, Limits(answer_s=0.75 * probe_timeout_s))

    async def embed(self, batch: Batch) -> Answer:
        """Embed one batch, in a child that is started if there is none; see `Backend.embed`."""
        async with self._supervisor.lease() as child:
            try:
                answer = await Wire(self._client, child.url, child.headers).embed(batch)
            except (UnreachableError, BrokenStreamError, StalledError) as error:
                child.doubted = True
                message = f"llama.cpp, the child process of {batch.endpoint}, broke off. The next call starts it again."
                raise UnreachableError(message) from error
            except anyio.get_cancelled_exc_class():
                child.doubted = True  # the caller may have given up because it is frozen
                raise
            child.heard()
        self._supervisor.served()
        return answer

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask the child how it is, or, while there is none, whether one could be started. Never starts one."""
        return await self._supervisor.probe()

    async def aclose(self) -> None:
        """End the child, and close every connection."""
        await self._supervisor.aclose()
        await self._client.aclose()

    def _spec(self) -> LlamaSpec:
        if importlib.util.find_spec(PACKAGE) is None:
            raise NotInstalledError(INSTALL)
        path = Path(self._config.gguf or "").expanduser()
        if not path.is_file():
            message = f"There is no GGUF file {path.name} where `gguf` in the configuration says."
            raise NotInstalledError(f"{message} Correct the path.")
        return LlamaSpec(
            gguf=path,
            context=self._context,
            slots=min(self._config.concurrency, MAX_SLOTS),
            threads=self._config.threads or usable_cores(),
            pooling=self._config.pooling or "model",
        )

    async def _ask(self, child: LlamaProcess) -> Probe:
        endpoint = Endpoint(runtime="gguf", url=child.url)
        with foreign_errors(endpoint):
            response = await self._client.get(f"{child.url}/health", headers=child.headers)
            if response.status_code != 200:
                raise status_error(endpoint, response.status_code, response.headers)
        return Probe()
