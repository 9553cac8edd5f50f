"""The list of what surprised us in Ollama has 26 entries; each has a test that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

OF_EMBEDDINGS = {18, 19}
"""Tested where embeddings are."""


def named() -> set[int]:
    found: set[int] = set()
    for path in Path(__file__).parent.glob("test_ollama_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = re.search(r"Ollama ((?:#\d+[, ]*)+)", ast.get_docstring(node) or "")
                found |= {int(number) for number in re.findall(r"#(\d+)", said[1])} if said else set()
    return found


def test_every_surprise_has_a_test_of_its_own() -> None:
    assert named() == set(range(1, 27)) - OF_EMBEDDINGS
