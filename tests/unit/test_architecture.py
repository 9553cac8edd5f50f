"""The README's import rules and size limits as code. A line that breaks them belongs somewhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("router_mcp", "embeddings_mcp")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# From the bottom of the stack to its top: a module imports its own group and what stands before it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("domain",),
    ("errors",),
    (
        *(
            "config",
            "affinity",
            "board",
            "budget",
            "comparison",
            "fit",
            "health",
            "policy",
            "prompt",
            "proofs",
            "pulse",
        ),
        *("ranking", "ranks", "replicas", "rollout", "tokens"),
    ),
    ("tenancy", "state"),
    (
        *("structured", "runtimes", "telemetry", "admission", "fleet", "line", "stream", "record", "render", "verdict"),
        *("exchange", "typed"),
    ),
    ("rollout_watch", "orders"),
    ("router",),
    ("prober", "prove", "reload", "follow", "shadow", "status", "trial", "wiring"),
    ("operations",),
    ("edge", "cli", "__main__", "__init__", "__version__"),
)
ONLY_IN = {
    "mcp": ("router_mcp.edge", "embeddings_mcp.edge", "router_mcp.cli.demo", "embeddings_mcp.cli.demo"),
    "httpx": ("router_mcp.runtimes", "router_mcp.wiring", "embeddings_mcp.backends", "embeddings_mcp.wiring"),
    "ollama": ("router_mcp.runtimes.ollama", "embeddings_mcp.backends.ollama"),
    "yaml": ("router_mcp.config",),
}
SHARED = (
    *("domain", "errors", "telemetry", "board", "health", "admission", "edge", "cli", "runtimes", "tokens"),
    *("config.base", "config.checks", "config.policy_file"),
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def layer(module: str) -> int:
    part = module.removeprefix("router_mcp").lstrip(".").split(".")[0] or "__init__"
    return next(rank for rank, names in enumerate(LAYERS) if part in names)


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("router_mcp")], ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    module = name_of(path)
    for imported in imports_of(path):
        if imported.startswith("router_mcp.") and imported != "router_mcp.__version__":
            assert layer(imported) <= layer(module), f"{module} imports {imported}, which stands above it"
        assert not imported.startswith("embeddings_mcp"), f"{module} imports the sibling server"


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("embeddings_mcp")], ids=name_of)
def test_the_embeddings_server_imports_only_what_is_shared(path: Path) -> None:
    for imported in imports_of(path):
        if imported.startswith("router_mcp."):
            assert within(imported.removeprefix("router_mcp."), SHARED), f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_foreign_packages_stay_in_their_room(path: Path) -> None:
    for imported in imports_of(path):
        rooms = ONLY_IN.get(imported.split(".")[0])
        assert rooms is None or within(name_of(path), rooms), f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 250, f"{path.name} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            start = first.end_lineno if documented and first.end_lineno else node.lineno
            assert node.end_lineno - start <= 40, f"{path.name}: {node.name} is longer than 40 lines"
