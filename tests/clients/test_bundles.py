"""Every way into a client that is kept in the repository: it is valid, true, and starts the server."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zipfile import ZipFile

import pytest
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters

from router_mcp import __version__
from tests.clients.matrix.row import TOOLS
from tests.clients.npm import installed

MCPB = "@anthropic-ai/mcpb@2.1.2"
ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "infra" / "clients"
# What the MCP registry asks of a server.json (its documentation of 2025-12-11), as far as ours goes.
REGISTRY_RULES = {
    "type": "object",
    "required": ["$schema", "name", "description", "version"],
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength": 3, "maxLength": 200},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "packages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["registryType", "identifier", "version", "transport"],
                "properties": {
                    "registryType": {"enum": ["pypi", "npm", "oci", "nuget", "mcpb"]},
                    "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                    "transport": {"properties": {"type": {"const": "stdio"}}, "required": ["type"]},
                    "packageArguments": {
                        "items": {
                            "oneOf": [
                                {"properties": {"type": {"const": "positional"}}, "required": ["type", "value"]},
                                {"properties": {"type": {"const": "named"}}, "required": ["type", "name"]},
                            ]
                        }
                    },
                    "environmentVariables": {"items": {"required": ["name"]}},
                },
            },
        },
    },
    "additionalProperties": {"$comment": "only $schema is left"},
}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = spec_from_file_location("build", CLIENTS / "mcpb" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bundle_s_manifest_is_valid_for_who_made_the_format() -> None:
    node = installed([MCPB])
    said = node.run(node.program("mcpb"), "validate", str(CLIENTS / "mcpb" / "manifest.json"))
    assert said.status == 0, said.stdout + said.stderr


def test_the_bundle_is_ours_and_nothing_else_and_the_same_each_time(build: ModuleType, tmp_path: Path) -> None:
    first, second = build.build(tmp_path / "1"), build.build(tmp_path / "2")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 2_000_000
    names = ZipFile(first).namelist()
    assert names[0] == "manifest.json"
    assert not [name for name in names if "__pycache__" in name or "/." in name]


@pytest.mark.anyio
async def test_the_server_in_the_bundle_starts_and_has_the_tools_that_the_manifest_names(
    build: ModuleType, tmp_path: Path
) -> None:
    ZipFile(build.build(tmp_path)).extractall(tmp_path / "opened")
    manifest = read(CLIENTS / "mcpb" / "manifest.json")
    assert manifest["version"] == __version__
    assert {tool["name"] for tool in manifest["tools"]} == TOOLS
    config = manifest["server"]["mcp_config"]
    assert config["args"][-2:] == ["router-mcp", "serve"]
    defaults = {name: str(about["default"]) for name, about in manifest["user_config"].items()}
    env = {
        name: re.sub(r"\$\{user_config\.(\w+)\}", lambda found: defaults[found[1]], value)
        for name, value in config["env"].items()
    }
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "router_mcp", "serve"],
        cwd=tmp_path / "opened",
        env={**os.environ, **env, "PYTHONPATH": str(tmp_path / "opened")},
    )
    async with Client(server) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        policy = (await client.read_resource("router://policy")).contents[0]
        assert "smollm2" in getattr(policy, "text", ""), "the policy of the bundle is in force"


def test_server_json_keeps_the_registry_s_rules_and_starts_the_server() -> None:
    server = read(CLIENTS / "server.json")
    assert [error.message for error in Draft202012Validator(REGISTRY_RULES).iter_errors(server)] == []
    [package] = server["packages"]
    assert server["version"] == package["version"] == __version__
    assert package["identifier"] == "router-mcp"
    assert package["packageArguments"][0]["value"] == "serve"


def test_the_links_in_the_page_install_what_the_page_says() -> None:
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    [cursor] = re.findall(r"\((cursor://[^)]+)\)", page)
    query = parse_qs(urlsplit(cursor).query)
    assert query["name"] == ["router"]
    assert json.loads(base64.b64decode(query["config"][0])) == {"command": "router-mcp", "args": ["serve"]}
    [vscode] = re.findall(r"\(vscode:mcp/install\?([^)]+)\)", page)
    entry = {"name": "router", "type": "stdio", "command": "router-mcp", "args": ["serve"]}
    assert json.loads(unquote(vscode)) == entry


def test_the_plugin_has_both_servers_and_a_skill_that_names_tools_that_exist() -> None:
    plugin = CLIENTS / "claude-plugin"
    assert read(plugin / ".claude-plugin" / "plugin.json")["version"] == __version__
    servers = read(plugin / ".mcp.json")["mcpServers"]
    assert servers == read(CLIENTS / "mcp.json")["mcpServers"]
    assert {name: server["command"] for name, server in servers.items()} == {
        "router": "router-mcp",
        "embeddings": "embeddings-mcp",
    }
    [skill] = plugin.glob("skills/*/SKILL.md")
    _, about, told = skill.read_text(encoding="utf-8").split("---\n", 2)
    name, description = re.findall(r"^(?:name|description): (.+)$", about, re.MULTILINE)
    assert name == skill.parent.name
    assert len(description) <= 1024
    named = set(re.findall(r"`(\w+_\w+)`", about + told)) | set(re.findall(r"(\w+_\w+)[, ]", description))
    arguments = {"json_schema", "idempotency_key", "retry_after_s", "backend_unavailable"}
    assert named - arguments <= TOOLS | {"rank_texts", "embed_texts"}
