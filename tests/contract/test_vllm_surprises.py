"""Twenty things about vLLM surprised us (`vLLM B1 #1` to `#20`). None of them may lose its test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def surprises_of(path: Path) -> set[int]:
    """Return the numbers that the docstrings of a file's tests and cases name."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTION))
    named = re.findall(
        r"vLLM B1 ((?:#\d+(?:, and )?)+)", "\n".join(ast.get_docstring(node) or "" for node in functions)
    )
    return {int(number) for number in re.findall(r"#(\d+)", "".join(named))}


@pytest.fixture(scope="module")
def covered() -> set[int]:
    files = [*TESTS.glob("contract/*vllm*.py"), *TESTS.glob("contract/test_openai_chat*.py")]
    return set().union(*(surprises_of(path) for path in files))


@pytest.mark.parametrize("number", [number for number in range(1, 21) if number != 14])
def test_a_surprise_has_a_test(number: int, covered: set[int]) -> None:
    assert number in covered


def test_forged_control_tokens_are_tried_on_the_real_tokenizer() -> None:
    """What neutralises them is `router_mcp.prompt`; that it works, only a tokenizer can say."""
    assert 14 in surprises_of(TESTS / "live/vllm/test_server.py")
