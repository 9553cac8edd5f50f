"""Structured calls through the router on a real vLLM: what we compile to is taken, fires, and gives valid data."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from router_mcp import status
from router_mcp.config import load_config
from router_mcp.domain import Choices, Endpoint, GenerateRequest, GenerateResult, Grammar, JsonSchema, Regex
from router_mcp.prober import Prober
from router_mcp.router import Router
from router_mcp.structured import Preparer, compile_for, room_of
from router_mcp.wiring import Outside, open_router
from tests.contract.calls import Heard, a_call
from tests.contract.replay import RECORDINGS
from tests.live.vllm.server import CONTEXT_WINDOW, SERVED

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

SAMPLE = json.loads((RECORDINGS.parents[1] / "data" / "jsonschemabench-sample.json").read_text())
EVERY = 10
"""One schema in so many of the sample is asked for; all of them are on the embedded runtime (benchmarks)."""


@pytest.fixture
async def router(tmp_path: Path, endpoint: Endpoint) -> AsyncGenerator[Router]:
    path = tmp_path / "models-policy.yaml"
    path.write_text(
        f"""version: 1
runtimes: {{live: {{kind: vllm, endpoints: ["{endpoint.url}"]}}}}
models: {{{SERVED[0]}: {{runtime: live, context_window: {CONTEXT_WINDOW}}}}}
tasks: {{reasoning: {{models: [{SERVED[0]}], timeout: long_form}}}}
defaults: {{task: reasoning, max_output_tokens: 128, temperature: 0}}
health: {{interval: 1, timeout: 10}}
timeouts: {{inter_token: 60}}
"""
    )
    async with open_router(load_config(path), None, Outside(environ={}, obeys_orders=False)) as router:
        yield router


async def asked(router: Router, constraint: Any, prompt: str = "Invent one.") -> GenerateResult:
    return await router.generate(GenerateRequest(prompt=prompt, constraint=constraint, seed=1))


async def test_choices_regex_and_grammars_come_back_as_asked(router: Router) -> None:
    assert (await asked(router, Choices(("yes", "no", "maybe")))).data in {"yes", "no", "maybe"}
    assert re.fullmatch(r"[A-F]{2}-\d{3}", (await asked(router, Regex(r"[A-F]{2}-\d{3}"))).data)
    for text in ('start: "SELECT " COLUMN\nCOLUMN: "a" | "b"', 'root ::= "SELECT " ("a" | "b")'):
        assert (await asked(router, Grammar(text))).data in {"SELECT a", "SELECT b"}


async def test_keywords_that_guidance_refuses_are_left_out_and_checked(router: Router) -> None:
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 2}},
        "required": ["tags"],
        "additionalProperties": False,
        "not": {"properties": {"tags": {"const": []}}},
    }
    jsonschema.validate((await asked(router, JsonSchema(schema))).data, schema)


async def test_a_type_comes_back_as_a_value_of_it(router: Router) -> None:
    result = await router.structured(dict[str, int], "Count something.", seed=1)
    assert all(isinstance(value, int) for value in result.data.values())


@pytest.mark.parametrize("row", SAMPLE[::EVERY], ids=lambda row: row["name"])
async def test_every_form_of_a_real_schema_is_taken(router: Router, endpoint: Endpoint, row: dict[str, Any]) -> None:
    ready = Preparer().prepare(JsonSchema(row["schema"]))
    runtime = router.fleet.runtimes["live"]
    for plain, room in ((False, None), (True, None), (False, room_of("vllm", 128, short=True))):
        constraint = compile_for("vllm", ready, plain=plain, room=room).constraint
        call = a_call(endpoint, "Invent one.", constraint=constraint, max_output_tokens=8)
        assert (await runtime.generate(call, Heard())).finish_reason in {"stop", "length"}


async def test_that_constraints_fire_is_proven_and_shown(router: Router) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Prober(router, anyio.current_time).run)
        with anyio.fail_after(120):
            while status.models(router, anyio.current_time())[0].constraints != "enforced":
                await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
