"""The router as an MCP server: tools, resources and the lifespan that keeps them true."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

from router_mcp import __version__, status
from router_mcp.config.policy_file import PolicyFile
from router_mcp.edge import tools
from router_mcp.edge.app import HEALTH_URI, App, Source, run_app
from router_mcp.edge.arguments import StrictTool, strict_tool
from router_mcp.edge.outputs import model_output
from router_mcp.edge.page import STATUS_URI, status_html
from router_mcp.edge.subscriptions import ResourceChanges
from router_mcp.edge.tasks import Tasks

INSTRUCTIONS = """\
Runs prompts on models that this user hosts (vLLM, Ollama): private, no cost per token.
Delegate self-contained text work: summarise, classify, extract, draft, reason over given text.
generate returns text, structured_generate returns data that satisfies a JSON schema, choices, a regex or a grammar.
Name a task (see list_models); the policy picks the model and its fallbacks. The models have no tools and no files.
Answers take seconds, long reports up to two minutes. For embeddings and ranking use the server 'embeddings'."""


LONG_TOOLS = ("generate", "structured_generate")
"""Tools whose calls may be answered with a handle (`edge.tasks`)."""


class _Live:
    """The app of the running lifespan."""

    app: App


def build_server(
    source: Source, policy: PolicyFile, changes: ResourceChanges | None = None, tasks: Tasks | None = None
) -> MCPServer[App]:
    """Return the server; its lifespan opens the router, watches endpoints and follows the policy file."""
    offered = [_tool(fn, policy) for fn in (tools.generate, tools.structured_generate, tools.explain_route)]
    changes, live = changes or ResourceChanges(), _Live()
    tasks = tasks or Tasks(LONG_TOOLS)

    def follow(new: PolicyFile) -> None:
        for tool in offered:
            _offer(tool, new)

    @asynccontextmanager
    async def lifespan(_: MCPServer[App]) -> AsyncGenerator[App]:
        async with run_app(source, changes, follow) as app, tasks.running():
            live.app = app
            try:
                yield app
            finally:
                changes.close()

    server: MCPServer[App] = MCPServer(
        "router",
        title="Router",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        tools=[offered[0], offered[1], _tool(tools.list_models, policy), offered[2]],
        extensions=[_status_app(), tasks],
    )
    changes.attach(server)
    _add_resources(server, live)
    return server


def _status_app() -> Apps:
    """Return the status page as an MCP App; `list_models` names it, and feeds it by its result's `_meta`."""
    apps = Apps()
    about = "Models, tasks and runtimes of this router: how well they are, how fast, and what changed."
    apps.add_html_resource(
        STATUS_URI, status_html(), name="status", title="Router status", description=about, prefers_border=True
    )
    return apps


def _tool(fn: Any, policy: PolicyFile) -> StrictTool:
    titles = {
        "generate": "Generate text on your own models",
        "structured_generate": "Generate valid data on your own models",
        "list_models": "List models, tasks and their health",
        "explain_route": "Explain which model would serve a task",
    }
    name = fn.__name__
    annotations = ToolAnnotations(
        read_only_hint=True,
        destructive_hint=False,
        idempotent_hint=not name.endswith("generate"),
        open_world_hint=False,
    )
    meta: dict[str, Any] = {"anthropic/alwaysLoad": True} if name.endswith("generate") else {}
    if name == "list_models":
        meta["ui"] = {"resourceUri": STATUS_URI}
    tool = strict_tool(fn, title=titles[name], annotations=annotations, meta=meta)
    if "task" in tool.parameters["properties"]:
        _offer(tool, policy)
    return tool


def _offer(tool: StrictTool, policy: PolicyFile) -> None:
    tool.offer("task", list(policy.tasks), default=policy.defaults.task)


def _add_resources(server: MCPServer[App], live: _Live) -> None:
    """Add what `list_models` shows and more, for clients that read resources; the SDK gives these no context."""

    @server.resource("router://models", mime_type="application/json", title="Models and their health")
    async def models() -> str:
        """Every model of the catalog: where it runs, what it is for, how well it is."""
        return _json([model_output(model).wire() for model in status.models(live.app.router, live.app.clock())])

    @server.resource("router://policy", mime_type="application/json", title="The policy in force")
    async def policy() -> str:
        """The policy as it is in force; keys are named by their variables, never shown."""
        return _json(live.app.router.fleet.policy.model_dump(mode="json", exclude_none=True))

    @server.resource(HEALTH_URI, mime_type="application/json", title="Health of every endpoint")
    async def health() -> str:
        """Every endpoint: its state, since when, calls in flight and in the queue, its last error."""
        return _json([asdict(each) for each in status.endpoints(live.app.router, live.app.clock())])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
