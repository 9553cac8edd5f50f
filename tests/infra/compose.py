"""The compose files as `docker compose` reads them: included, merged, variables filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

import yaml

FOLDER = Path(__file__).parents[2] / "infra" / "vllm-or-ollama"
FILES = tuple(FOLDER / f"docker-compose{part}.yml" for part in ("", ".dev", ".vllm", ".observability"))
SECRETS = {"ROUTER_MCP_TOKEN": "t", "EMBEDDINGS_MCP_TOKEN": "t", "GRAFANA_PASSWORD": "p"}

Service: TypeAlias = dict[str, Any]

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z0-9_]+)(?:(?P<how>:-|:\?)(?P<word>[^}]*))?\}")


class MissingVariableError(Exception):
    """A variable that the files ask for and that is not set; compose stops there."""


def fill(text: str, environ: dict[str, str]) -> str:
    """Fill in variables as compose does."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        given = environ.get(match["name"], "")
        if not given and match["how"] == ":?":
            raise MissingVariableError(f"{match['name']}: {match['word']}")
        return given or (match["word"] or "" if match["how"] == ":-" else "")

    return _VARIABLE.sub(value, text)


def variables(file: Path) -> dict[str, str | None]:
    """Return the variables that a file reads, with their defaults."""
    text = "\n".join(line.split(" #")[0] for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
    found = (match for match in _VARIABLE.finditer(text) if match["name"])
    return {match["name"]: match["word"] if match["how"] == ":-" else None for match in found}


def load(file: Path, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """Return one file, its variables filled in."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        return fill(node, environ if environ is not None else SECRETS) if isinstance(node, str) else node

    parsed = walk(yaml.safe_load(file.read_text()))
    assert isinstance(parsed, dict)
    return parsed


def services(environ: dict[str, str] | None = None) -> dict[str, Service]:
    """Return every service of every file."""
    return {name: service for file in FILES for name, service in load(file, environ).get("services", {}).items()}


def command_of(service: Service) -> list[str]:
    return [str(word) for word in service.get("command", [])]
