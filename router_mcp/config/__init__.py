"""Configuration: a file becomes a frozen `PolicyFile`, or an error that says what to change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from router_mcp.config.base import Source, read_source, validate
from router_mcp.config.canaries import with_canaries
from router_mcp.config.checks import problems
from router_mcp.config.policy_file import PolicyFile

__all__ = ["PolicyFile", "default_path", "load_config", "policy_of", "profile_path", "shipped"]


def load_config(path: Path | str, environ: Mapping[str, str] | None = None) -> PolicyFile:
    """Read and check a policy file; raise `ConfigError` that names every problem with its line."""
    return policy_of(read_source(Path(path), os.environ if environ is None else environ))


def policy_of(source: Source) -> PolicyFile:
    """Return the policy that a parsed file holds, with the models that its canary runtimes bring."""
    policy = validate(source, PolicyFile)
    if found := problems(policy):
        raise source.error(found)
    return with_canaries(policy)


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the policy file to use when none is named: `ROUTER_MCP_CONFIG`, else the one that ships."""
    named = (os.environ if environ is None else environ).get("ROUTER_MCP_CONFIG")
    return Path(named) if named else shipped("router/models-policy.yaml")


def profile_path(name: str) -> Path:
    """Return the path of a profile that ships, such as `embedded` or `production`."""
    return shipped(f"profiles/{name}.yaml")


def shipped(relative: str) -> Path:
    """Return a file of `configs/`: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_configs" / relative
    return inside if inside.exists() else package.parent / "configs" / relative
