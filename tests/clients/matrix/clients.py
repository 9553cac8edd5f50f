"""The clients, each with the packages that it is tried with, in an environment of its own in the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clients.matrix.row import Row, plan
from tests.clients.npm import installed
from tests.clients.venvs import python_with

SCRIPTS = Path(__file__).with_name("scripts")
RUN_S = 300


@dataclass(frozen=True, kw_only=True)
class Library:
    """A client that a program uses. `script` drives it with its own packages and none of ours."""

    name: str
    script: str
    packages: tuple[str, ...]
    fast: bool = False
    """Whether `make test` runs it."""
    remark: str = ""

    def run(self) -> Row:
        """Run it against a real server process, and return what it saw."""
        with TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            env = {**os.environ, "PLAN": json.dumps(plan()), "REPORT": str(report), "PYTHONWARNINGS": "ignore"}
            command, cwd = self._command()
            done = subprocess.run(
                command,
                cwd=cwd,
                env=env,
                capture_output=True,
                text=True,
                timeout=RUN_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            assert report.exists(), f"{self.name} ended with {done.returncode} and no report:\n{done.stderr[-3000:]}"
            return Row(**json.loads(report.read_text()))

    def _command(self) -> tuple[list[str], Path]:
        script = SCRIPTS / self.script
        if script.suffix == ".py":
            return [str(python_with(script.stem, self.packages)), str(script)], SCRIPTS
        node = installed(self.packages)
        copy = node.folder / script.name  # a module finds its packages from where it is
        shutil.copyfile(script, copy)
        return node.command(copy), node.folder


LIBRARIES = (
    Library(
        name="TypeScript SDK v1",
        script="typescript_v1.mjs",
        packages=("@modelcontextprotocol/sdk@1.32.2",),
        fast=True,
        remark="60 s a call; `timeout` per request, or `resetTimeoutOnProgress`",
    ),
    Library(
        name="TypeScript client v2",
        script="typescript_v2.mjs",
        packages=("@modelcontextprotocol/client@2.4.0",),
        fast=True,
        remark="60 s a call, as v1",
    ),
    Library(
        name="Python SDK v1",
        script="python_sdk_v1.py",
        packages=("mcp==1.30.0",),
        fast=True,
        remark="waits for ever; `read_timeout_seconds`",
    ),
    Library(name="FastMCP", script="fastmcp_client.py", packages=("fastmcp==4.1.2",), fast=True, remark="no limit"),
    Library(
        name="LangChain adapters",
        script="langchain_adapters.py",
        packages=("langchain-mcp-adapters==0.3.2",),
        fast=True,
        remark="a model sees the text, data is in `artifact`; `get_tools()` starts a process a call, `session()` one",
    ),
    Library(
        name="Pydantic AI",
        script="pydantic_ai_agent.py",
        packages=("pydantic-ai-slim[mcp]==2.68.0", "fastmcp==4.1.2"),
        remark="a model sees the data; a whole agent, on its own test models",
    ),
    Library(
        name="OpenAI Agents SDK",
        script="openai_agents.py",
        packages=("openai-agents==0.24.0",),
        remark="**5 s** a call: set `client_session_timeout_seconds`; `use_structured_content=True` for data",
    ),
    Library(
        name="LlamaIndex",
        script="llama_index_tools.py",
        packages=("llama-index-tools-mcp==0.6.0",),
        remark="30 s a call: `BasicMCPClient(timeout=)`; starts a process a call",
    ),
    Library(
        name="Google ADK",
        script="google_adk.py",
        packages=("google-adk==2.13.0", "mcp"),
        remark="**5 s** a call: `StdioConnectionParams(timeout=)`",
    ),
    Library(
        name="Microsoft Agent Framework",
        script="agent_framework_tool.py",
        packages=("agent-framework-core==1.23.0", "tenacity", "mcp"),
        remark="a model sees the data; errors are exceptions with their text",
    ),
    Library(
        name="AutoGen",
        script="autogen_workbench.py",
        packages=("autogen-ext[mcp]==0.7.5", "mcp<2"),
        remark="a model sees the text only, which is why data is JSON there; needs `mcp<2`",
    ),
    Library(
        name="smolagents",
        script="smolagents_tools.py",
        packages=("smolagents[mcp]==1.26.0", "mcp<2", "websockets"),
        remark="`structured_output=True` for data; an error's text is a plain value",
    ),
)
