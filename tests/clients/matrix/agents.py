"""Real coding agents. None needs a model: Claude Code talks to a scripted API, the others only connect and list."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.clients.inspector import answer, install_inspector
from tests.clients.matrix.row import BAD, GENERATE, SERVER, STRUCTURED, TOOLS, Row, server_env
from tests.clients.matrix.scripted_api import Call, ScriptedApi, serving
from tests.clients.npm import NodeFolder, Said, installed
from tests.clients.venvs import python_with

CLAUDE = ("claude-agent-sdk==0.2.187",)
GEMINI = ("@google/gemini-cli@0.61.0",)
OPENCODE = ("opencode-ai@1.18.33",)
CODEX = ("@openai/codex@0.169.0",)
PLUGIN = Path(__file__).parents[3] / "infra" / "clients" / "claude-plugin"
RUN_S = 300


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent, and how it is tried; `whole` says whether it makes calls and not only lists."""

    name: str
    run: Callable[[], Row]
    remark: str
    whole: bool = False


def claude_code() -> Row:
    """Let Claude Code run a loop of four calls, and return what it gave back to its model."""
    claude = python_with("claude_code", CLAUDE).parents[1].glob("lib/*/site-packages/claude_agent_sdk/_bundled/claude")
    calls: list[Call] = [
        ("mcp__router__generate", GENERATE),
        ("mcp__router__structured_generate", STRUCTURED),
        ("mcp__router__generate", BAD),
        ("mcp__router__generate", GENERATE),
    ]
    api = ScriptedApi(calls)
    server = {"type": "stdio", "command": SERVER[0], "args": SERVER[1:], "env": server_env()}
    with TemporaryDirectory() as home, serving(api) as url:
        config = Path(home) / "mcp.json"
        config.write_text(json.dumps({"mcpServers": {"router": server}}))
        program = str(next(claude))
        env = {
            "HOME": home,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        version = _run([program, "--version"], env).split()[0]
        validated = _run([program, "plugin", "validate", str(PLUGIN)], env)
        assert "Validation passed" in validated, validated
        allowed = ",".join(f"mcp__router__{tool}" for tool in sorted(TOOLS))
        prompt = ["-p", "Use the router.", "--model", "claude-sonnet-4-5", "--output-format", "json"]
        said = _run(
            [program, *prompt, "--mcp-config", str(config), "--strict-mcp-config", "--allowedTools", allowed], env
        )
    assert len(api.results) == len(calls), f"Claude Code made {len(api.results)} calls and said {said[-2000:]}"
    first, structured, refused, again = api.texts()
    assert api.results[2].get("is_error"), "an error is marked as one"
    assert {"mcp__router__generate", "mcp__router__structured_generate"} <= api.tools.keys(), "alwaysLoad shows them"
    assert "Delegate" in api.system or "Delegate" in json.dumps(api.messages), "the instructions are shown"
    return Row(
        version=version,
        tools=[*api.tools, *_named(api)],
        text=_object(first)["text"],
        data=_object(structured)["data"],
        error=refused,
        again=_object(again)["text"],
    )


def _object(said: str) -> dict[str, Any]:
    """Return the object that a tool result begins with; Claude Code adds a reminder of its own."""
    found, _ = json.JSONDecoder().raw_decode(said)
    return dict(found)


def _named(api: ScriptedApi) -> list[str]:
    """Return the tools that were shown to the model by name only."""
    return re.findall(r"mcp__router__\w+", json.dumps(api.messages) + api.system)


def inspector() -> Row:
    """Let the Inspector's command line do the plan, each call a session of its own."""
    program = install_inspector()
    variables = [word for name, value in server_env().items() for word in ("-e", f"{name}={value}")]
    # The Inspector has a --config of its own, so the server is told its configuration by a variable.
    server = [*SERVER[: SERVER.index("--config")], *variables, "-e", f"ROUTER_MCP_CONFIG={SERVER[-1]}"]

    def call(tool: str, arguments: dict[str, Any]) -> Said:
        named = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        return program.run(*server, *named, "--format", "json")

    listed = answer(program.run(*server, "--method", "tools/list", "--format", "json"))
    refused = call("generate", BAD)
    assert refused.status == 5, "the Inspector's status for a tool error"
    return Row(
        version=_package(program.node, "@modelcontextprotocol/inspector"),
        tools=[tool["name"] for tool in listed["tools"]],
        text=answer(call("generate", GENERATE))["content"][0]["text"],
        data=answer(call("structured_generate", STRUCTURED))["structuredContent"]["data"],
        error=refused.stdout + refused.stderr,
        again=answer(call("generate", GENERATE))["content"][0]["text"],
    )


def gemini_cli() -> Row:
    """Let the Gemini CLI connect."""
    node = installed(GEMINI)
    with TemporaryDirectory() as home:
        settings = Path(home) / ".gemini" / "settings.json"
        settings.parent.mkdir()
        server = {"command": SERVER[0], "args": SERVER[1:], "env": server_env()}
        settings.write_text(json.dumps({"mcpServers": {"router": server}}))
        said = _run(
            node.command(node.program("gemini"), "mcp", "list"),
            {**node.environ(), "HOME": home, "GEMINI_CLI_TRUST_WORKSPACE": "true"},
            cwd=home,
        )
    return _connected(said, r"router.*Connected", _package(node, "@google/gemini-cli"))


def opencode() -> Row:
    """Let OpenCode connect."""
    node = installed(OPENCODE, scripts=True)
    with TemporaryDirectory() as home:
        server = {"type": "local", "command": SERVER, "environment": server_env(), "enabled": True}
        (Path(home) / "opencode.json").write_text(json.dumps({"mcp": {"router": server}}))
        said = _run([str(node.program("opencode")), "mcp", "list"], {**node.environ(), "HOME": home}, cwd=home)
    return _connected(said, r"router.*connected", _package(node, "opencode-ai"))


def codex() -> Row:
    """Let Codex's app server list the tools with their schemas."""
    node = installed(CODEX)
    with TemporaryDirectory() as home:
        folder = Path(home) / ".codex"
        folder.mkdir()
        env = "".join(f'{name} = "{value}"\n' for name, value in server_env().items())
        table = f'command = "{SERVER[0]}"\nargs = {json.dumps(SERVER[1:])}\nstartup_timeout_sec = 60\n'
        (folder / "config.toml").write_text(f"[mcp_servers.router]\n{table}[mcp_servers.router.env]\n{env}")
        command = node.command(node.program("codex"), "app-server")
        listed = _codex_list(command, {**node.environ(), "HOME": home, "CODEX_HOME": str(folder)})
    return Row(version=_package(node, "@openai/codex"), tools=listed)


def _codex_list(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Ask an app server, by its JSON lines, for its MCP servers' tools."""
    about = {"clientInfo": {"name": "matrix", "title": "Matrix", "version": "0"}}
    requests: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": about},
        {"method": "initialized"},
        {"id": 2, "method": "mcpServerStatus/list", "params": {}},
    ]
    with subprocess.Popen(
        command, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for request in requests:
                process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if message.get("id") == 2:
                    servers = message["result"]["data"]
                    return [name for server in servers if server["name"] == "router" for name in server["tools"]]
        finally:
            process.terminate()
    raise AssertionError("Codex ended without a list")


def _connected(said: str, pattern: str, version: str) -> Row:
    """These two say that they connected, which means that they listed the tools, but do not name them."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert re.search(pattern, plain), plain[-2000:]
    return Row(version=version, tools=sorted(TOOLS))


def _package(node: NodeFolder, name: str) -> str:
    return str(json.loads((node.folder / "node_modules" / name / "package.json").read_text())["version"])


def _run(command: Sequence[str], env: Mapping[str, str], cwd: str | None = None) -> str:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **env},
        cwd=cwd or env["HOME"],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


AGENTS = (
    Agent(name="MCP Inspector", run=inspector, whole=True, remark="the command line; `--config` is its own option"),
    Agent(
        name="Claude Code",
        run=claude_code,
        whole=True,
        remark="a model sees the structured content, and of an error the text; progress keeps a long call alive",
    ),
    Agent(name="Gemini CLI", run=gemini_cli, remark="`mcp list`; 10 min a call"),
    Agent(name="OpenCode", run=opencode, remark="`mcp list`"),
    Agent(name="Codex", run=codex, remark="`app-server`; 60 s a call: `tool_timeout_sec`"),
)
