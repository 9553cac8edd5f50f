"""Structured calls through the router on the real llama.cpp: every kind of constraint holds, and answers end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from router_mcp import status
from router_mcp.config import load_config
from router_mcp.domain import Choices, GenerateRequest, Grammar, JsonSchema, Regex
from router_mcp.prober import Prober
from router_mcp.router import Router
from router_mcp.runtimes.embedded import EmbeddedRuntime
from router_mcp.structured import Preparer, check, compile_for
from router_mcp.wiring import Outside, open_router
from tests.live.embedded.llama import Heard, call

pytestmark = pytest.mark.anyio

POLICY = """\
version: 1
runtimes: { embedded: { kind: embedded, max_concurrency: 1 } }
models: { smollm2-135m-instruct: { runtime: embedded, context_window: 1024 } }
tasks: { anything: { models: [smollm2-135m-instruct], timeout: long_form } }
defaults: { task: anything, temperature: 0, max_output_tokens: 96 }
timeouts: { interactive: 100, long_form: 120, inter_token: 60 }
health: { interval: 1, timeout: 10 }
"""
TEAM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "members": {"type": "array", "items": {"$ref": "#/$defs/person"}, "minItems": 1},
        "motto": {"type": "string"},
    },
    "required": ["name", "members"],
    "$defs": {
        "person": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "reports": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            },
            "required": ["name"],
        }
    },
}
"""Texts, lists and a tree that nothing bounds: left alone, a small model writes until it is cut."""


@pytest.fixture(scope="module")
async def router(anyio_backend: str, gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Router]:
    path = tmp_path_factory.mktemp("policy") / "models-policy.yaml"
    path.write_text(POLICY)
    environ = {"ROUTER_MCP_CACHE": str(gguf.parents[2]), "HOME": os.environ.get("HOME", "")}
    async with open_router(load_config(path), None, Outside(environ=environ, obeys_orders=False)) as router:
        yield router


async def data_of(router: Router, constraint: Any, prompt: str = "Invent one.", **more: Any) -> Any:
    return (await router.generate(GenerateRequest(prompt=prompt, constraint=constraint, seed=1, **more))).data


async def test_texts_lists_and_trees_that_nothing_bounds_come_to_their_end(router: Router) -> None:
    data = await data_of(router, JsonSchema(TEAM))
    jsonschema.validate(data, TEAM)


async def test_choices_come_back_as_given(router: Router) -> None:
    assert await data_of(router, Choices(("yes", "no", "perhaps so"))) in {"yes", "no", "perhaps so"}


async def test_a_regex_is_matched_whole(router: Router) -> None:
    assert re.fullmatch(r"[A-F]{2}-\d{3}", await data_of(router, Regex(r"[A-F]{2}-\d{3}")))


async def test_grammars_in_both_notations_hold(router: Router) -> None:
    for text in ('start: "SELECT " COLUMN\nCOLUMN: "a" | "b"', 'root ::= "SELECT " ("a" | "b")'):
        assert await data_of(router, Grammar(text)) in {"SELECT a", "SELECT b"}


async def test_a_type_comes_back_as_a_value_of_it(router: Router) -> None:
    result = await router.structured(dict[str, int], "Count something.", seed=1)
    assert all(isinstance(value, int) for value in result.data.values())


async def test_that_constraints_fire_is_proven_and_shown(router: Router) -> None:
    await data_of(router, Choices(("yes",)))  # starts the child, which nothing else does
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(router, anyio.current_time).run)
        with anyio.fail_after(90):
            while status.models(router, anyio.current_time())[0].constraints != "enforced":
                await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [(Choices(("yes", "no")), "yes|no"), (Regex(r"\([0-9]{3}\) [0-9]{3}"), r"\([0-9]{3}\) [0-9]{3}")],
    ids=["choices", "regex"],
)
async def test_what_ollama_is_sent_holds_in_the_converter_that_it_uses(
    runtime: EmbeddedRuntime, constraint: Choices | Regex, expected: str
) -> None:
    """Ollama hands `format` to llama.cpp; this is the same converter without Ollama around it."""
    ready = Preparer().prepare(constraint)
    compiled = compile_for("ollama", ready)
    said = await runtime.generate(call(constraint=compiled.constraint, max_output_tokens=40), Heard())
    assert json.loads(said.text)
    assert re.fullmatch(expected, check(ready, compiled, said.text, said.finish_reason))
