"""A policy file with a canary runtime, a state folder, and routers on scripted runtimes that follow both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from router_mcp.config import load_config
from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import Probe
from router_mcp.edge.operated import obey
from router_mcp.operations.canary import Canaries
from router_mcp.prober import Prober
from router_mcp.reload import Reloader
from router_mcp.router import Router
from router_mcp.runtimes.base import Runtime
from router_mcp.state.audit import last_lines
from router_mcp.state.directory import StateDirectory
from router_mcp.wiring import Outside, open_router
from tests.scripted import ScriptedRuntime, says

POLICY = """\
# which model serves what
version: 1
runtimes:
  gpu: {kind: vllm, endpoints: ["http://gpu"]} # the box that serves
  gpu-canary: {kind: vllm, endpoints: ["http://gpu-next"]} # the box to come
  laptop: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}
models:
  big: {runtime: gpu, context_window: 32768} # the one that all know
  small: {runtime: laptop, context_window: 4096}
tasks:
  reasoning: {models: [big, small]} # primary first
defaults: {task: reasoning}
rollout: {window: 120, min_calls: 30}
"""
WELL = Probe(running=0)


@dataclass
class Site:
    """A machine with a policy file, a state folder, and runtimes."""

    folder: Path
    gpu: ScriptedRuntime = field(default_factory=lambda: ScriptedRuntime(says("from the old box"), health=WELL))
    canary: ScriptedRuntime = field(default_factory=lambda: ScriptedRuntime(says("from the new box"), health=WELL))
    laptop: ScriptedRuntime = field(default_factory=lambda: ScriptedRuntime(says("from the laptop"), health=WELL))
    text: str = POLICY

    def __post_init__(self) -> None:
        self.path = self.folder / "models-policy.yaml"
        self.path.write_text(self.text)
        self.state = StateDirectory(self.folder / "state")
        self.environ = {"ROUTER_MCP_STATE": str(self.state)}

    def canaries(self, reached: Callable[[str], None] = lambda step: None) -> Canaries:
        return Canaries(self.state, self.path, self.environ, anyio.current_time, reached)

    def audited(self) -> list[str]:
        return [str(line["action"]) for line in last_lines(self.state)]

    def policy(self) -> PolicyFile:
        return load_config(self.path, self.environ)

    def runtime(self, name: str, policy: PolicyFile) -> Runtime:
        """Return the fake that stands where the policy says."""
        url = next(iter(policy.runtimes[name].endpoints))
        return {"http://gpu": self.gpu, "http://gpu-next": self.canary}.get(url, self.laptop)

    @asynccontextmanager
    async def router(self) -> AsyncGenerator[Router]:
        """Open a router that follows the files and judges canaries, as `serve` does."""
        outside = Outside(environ=self.environ, wall=anyio.current_time, make_runtime=self.runtime)
        async with open_router(self.policy(), None, outside) as router, anyio.create_task_group() as tasks:
            tasks.start_soon(obey, router, anyio.current_time)
            tasks.start_soon(Prober(router, anyio.current_time).run)
            tasks.start_soon(Reloader(router, self.path, partial(load_config, environ=self.environ)).run)
            yield router
            tasks.cancel_scope.cancel()

    def running(self, *, share: float = 0.2, shadow: bool = False) -> None:
        """Have a canary that passed its suite."""
        canaries = self.canaries()
        canaries.start("big", share=share, shadow=shadow)
        canaries.tested("big", ())
