"""llama.cpp in a child process of the router: no server to set up, no GPU needed, and a crash of it is not ours.

It speaks the OpenAI wire on a loopback port that only this process has the key of. It is started by the first
call and ends with the router, however that ends.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from router_mcp.domain import Capabilities, Endpoint, Probe
from router_mcp.errors import BrokenStreamError, StalledError, UnreachableError
from router_mcp.runtimes.cores import usable_cores
from router_mcp.runtimes.direct import DirectClient
from router_mcp.runtimes.llama_process import INSTALL, PACKAGE, LlamaProcess, LlamaSpec
from router_mcp.runtimes.llama_refusals import refusal
from router_mcp.runtimes.llama_request import request_body
from router_mcp.runtimes.llama_supervisor import Limits, LlamaSupervisor
from router_mcp.runtimes.openai_chat import stream_chat
from router_mcp.runtimes.weights import cached_weights
from router_mcp.runtimes.wire import foreign_errors, read_body, status_error

if TYPE_CHECKING:
    from router_mcp.config.policy_file import RuntimeConfig
    from router_mcp.domain import Call, Completion, Listener

MAX_SLOTS = 16
"""Each slot has a whole context window in memory; more calls than this wait inside llama.cpp."""
MAX_REPLY = 1024 * 1024
CONNECT_S = 2.0
_RUNNING = re.compile(rb"^llamacpp:requests_processing (\d+)$", re.MULTILINE)


class EmbeddedRuntime:
    """One GGUF file, served by one child process. Its only endpoint has the URL `embedded:` and its name."""

    def __init__(
        self,
        config: RuntimeConfig,
        *,
        context_window: int,
        probe_timeout_s: float = 2.0,
        make_spec: Callable[[RuntimeConfig, int], LlamaSpec] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`context_window` is the largest that the catalog gives to a model of this runtime, in tokens."""
        spec = partial(make_spec or spec_of, config, context_window)
        # A probe must come to its end before the prober loses patience, else a frozen child is never found.
        limits = limits or Limits(answer_s=0.75 * probe_timeout_s)
        self._client = DirectClient(connect_s=CONNECT_S)
        self._supervisor = LlamaSupervisor(spec, self._ask, limits)

    @property
    def capabilities(self) -> Capabilities:
        """It can be asked for every kind of constraint that can be said as JSON Schema or GBNF."""
        return Capabilities()

    async def start(self) -> None:
        """Load the model now, so that the first call need not wait for it. Raises `UnreachableError`."""
        async with self._supervisor.lease():
            pass

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Run one call, in a child that is started if there is none; cancelling frees its slot at once."""
        body = request_body(call)
        async with self._supervisor.lease() as child:
            try:
                completion = await stream_chat(
                    self._client,
                    f"{child.url}/v1/chat/completions",
                    body,
                    child.headers,
                    call.endpoint,
                    _Ear(child, listener),
                    partial(refusal, call),
                )
            except UnreachableError as error:
                child.doubted = True
                message = f"llama.cpp, the child process of {call.endpoint}, has ended. The next call starts it again."
                raise UnreachableError(message) from error
            except (BrokenStreamError, StalledError) as error:
                child.doubted = True
                message = f"llama.cpp, the child process of {call.endpoint}, broke off. Look at the router's log."
                raise BrokenStreamError(message) from error
            except anyio.get_cancelled_exc_class():
                child.doubted = True  # the caller may have given up because it is frozen
                raise
        self._supervisor.served()
        return completion

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask the child how it is, or, while there is none, whether one could be started. Never starts one.

        A child that neither answers nor was heard of for a while is killed; the next call gets a new one.
        """
        return await self._supervisor.probe()

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Drop every cached prefix by giving later calls a new child; running ones end in the old."""
        await self._supervisor.reset()
        return True

    async def aclose(self) -> None:
        """End the child, and close every connection."""
        await self._supervisor.aclose()
        await self._client.aclose()

    async def _ask(self, child: LlamaProcess) -> Probe:
        # `/health` answers from an HTTP thread even while the engine is lost in a grammar; `/metrics` does not.
        endpoint = Endpoint(runtime="embedded", url=child.url)
        with foreign_errors(endpoint):
            async with self._client.stream("GET", f"{child.url}/metrics", headers=child.headers) as response:
                if response.status_code != 200:
                    raise status_error(endpoint, response.status_code, response.headers)
                running = _RUNNING.search(await read_body(response, MAX_REPLY))
        return Probe(running=int(running[1]) if running else None)


class _Ear:
    """Passes a stream on to its listener, and notes that the child lives."""

    __slots__ = ("_child", "_listener")

    def __init__(self, child: LlamaProcess, listener: Listener) -> None:
        self._child = child
        self._listener = listener

    def text(self, delta: str) -> None:
        self._child.heard()
        self._listener.text(delta)

    def alive(self) -> None:
        self._child.heard()
        self._listener.alive()


def spec_of(config: RuntimeConfig, context_window: int) -> LlamaSpec:
    """Return what to run; raise `UnreachableError` with the remedy when the package or the weights are missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UnreachableError(INSTALL)
    return LlamaSpec(
        gguf=_gguf(config),
        context=context_window,
        slots=min(config.concurrency, MAX_SLOTS),
        threads=config.threads or usable_cores(),
    )


def _gguf(config: RuntimeConfig) -> Path:
    if not config.gguf:  # a variable that is not set leaves it empty
        if path := cached_weights():
            return path
        raise UnreachableError(
            "The embedded model's weights are not in the cache. Fetch them with `router-mcp demo` or "
            "`python -m router_mcp.runtimes.weights`, or set `gguf` in the policy to a file of yours."
        )
    path = Path(config.gguf).expanduser()
    if not path.is_file():
        raise UnreachableError(f"There is no GGUF file {path.name} where `gguf` in the policy says. Correct the path.")
    return path
