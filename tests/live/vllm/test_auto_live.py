"""A real vLLM on the `auto` back end: the proof that constraints fire leads it to guidance, for as long as it lives.

Whichever constraint comes first decides (vLLM B1 #1). With one that xgrammar takes, `pattern` beside `maxLength` was
broken by 5 answers of 5 afterwards (recordings `latch_*`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import anyio
import pytest

from router_mcp.config import load_config
from router_mcp.domain import JsonSchema
from router_mcp.prove import prove
from router_mcp.structured import Preparer, compile_for
from router_mcp.wiring import Outside, open_router
from tests.contract.calls import Heard, a_call
from tests.live.vllm import build, server

pytestmark = [pytest.mark.anyio, pytest.mark.live_vllm]

WORD = {
    "type": "object",
    "properties": {"word": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 6}},
    "required": ["word"],
    "additionalProperties": False,
}


async def test_after_the_proof_an_auto_server_keeps_to_what_xgrammar_does_not_have(tmp_path: Path) -> None:
    if not build.is_built():
        pytest.fail("There is no vLLM to test with, or an old one: run make live-vllm.", pytrace=False)
    flags = {flag: value for flag, value in server.FLAGS.items() if flag != "--structured-outputs-config"}
    with server.running(tmp_path / "vllm.log", flags) as auto:
        path = tmp_path / "models-policy.yaml"
        path.write_text(
            f"""version: 1
runtimes: {{live: {{kind: vllm, endpoints: ["{auto.url}"]}}}}
models: {{{server.SERVED[0]}: {{runtime: live, context_window: {server.CONTEXT_WINDOW}}}}}
tasks: {{reasoning: {{models: [{server.SERVED[0]}], timeout: long_form}}}}
defaults: {{task: reasoning}}
health: {{timeout: 20}}
"""
        )
        async with open_router(load_config(path), None, Outside(environ={}, obeys_orders=False)) as router:
            (endpoint,) = router.fleet.endpoints()
            runtime = router.fleet.runtimes["live"]
            router.pulse.told(endpoint, await runtime.probe(endpoint))
            await prove(router, endpoint, anyio.current_time)
            assert router.proofs.of((endpoint,)) == "enforced"
            constraint = compile_for("vllm", Preparer().prepare(JsonSchema(WORD))).constraint
            assert isinstance(constraint, JsonSchema)
            assert constraint.schema["properties"]["word"]["maxLength"] == 6
            for seed in range(5):
                call = a_call(
                    endpoint,
                    "Write a JSON object with a long sentence as the word.",
                    constraint=constraint,
                    temperature=1.0,
                    seed=seed,
                    max_output_tokens=80,
                )
                said = (await runtime.generate(call, Heard())).text
                assert re.fullmatch("[a-z]{1,6}", json.loads(said)["word"]), said
