"""How good answers of a vLLM are read, and what they do not tell."""

from __future__ import annotations

import json

import jsonschema
import pytest

from router_mcp.domain import JsonSchema
from tests.contract.calls import Heard
from tests.contract.replay import Exchange
from tests.contract.vllm_cases import PERSON
from tests.contract.vllm_replay import ask, recorded, replaying

pytestmark = pytest.mark.anyio


def as_stream(exchange: Exchange) -> Exchange:
    """Return an answer that was recorded whole as the stream in which vLLM would have sent it."""
    choice = exchange.answer["choices"][0]
    delta = {"content": choice["message"]["content"]}
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}]}]
    events.append({"choices": [], "usage": exchange.answer["usage"]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    headers = (("content-type", "text/event-stream; charset=utf-8"),)
    return Exchange("POST", "/v1/chat/completions", exchange.json, 200, headers, body.encode())


async def test_a_good_end_does_not_mean_a_valid_answer() -> None:
    """vLLM B1 #1: with the default back end it depends on the first request that the process ever had."""
    name = "latch_xgrammar_first_2_pattern_and_maxlength"
    schema = recorded(name)[0].json["response_format"]["json_schema"]["schema"]
    runtime, _ = replaying(*recorded("version"), as_stream(recorded(name)[0]), keys=())
    completion = await runtime.generate(ask(constraint=JsonSchema(schema)), Heard())
    assert completion.finish_reason == "stop"
    with pytest.raises(jsonschema.ValidationError):  # which is why the router checks every answer itself
        jsonschema.validate(json.loads(completion.text), schema)


async def test_an_ignored_constraint_looks_like_success() -> None:
    """vLLM B1 #6: the text is free, the status 200."""
    runtime, _ = replaying(*recorded("version"), as_stream(recorded("so_removed_guided_json")[0]), keys=())
    completion = await runtime.generate(ask(constraint=JsonSchema(PERSON)), Heard())
    assert completion.text.startswith("Hello, Bob!")


async def test_json_cut_at_the_limit_says_so_only_in_the_finish_reason() -> None:
    """vLLM B1 #8."""
    runtime, _ = replaying(*recorded("version"), *recorded("so_truncated_stream"), keys=())
    completion = await runtime.generate(ask(constraint=JsonSchema(PERSON)), Heard())
    assert completion.finish_reason == "length"
    assert not completion.text.rstrip().endswith("}")


async def test_a_clipped_limit_says_so_only_in_the_finish_reason() -> None:
    """vLLM B1 #8: 1000 tokens were asked for, 517 came, with status 200."""
    clipped = recorded("prompt_plus_max_tokens_silently_clipped")[0]
    runtime, _ = replaying(as_stream(clipped), keys=())
    completion = await runtime.generate(ask(max_output_tokens=clipped.json["max_tokens"]), Heard())
    assert completion.finish_reason == "length"
    assert completion.usage.output_tokens < clipped.json["max_tokens"]


async def test_the_name_in_the_answer_is_not_relied_on() -> None:
    """vLLM B1 #9: it is the first served name, whichever was asked for."""
    answered = recorded("chat_stream_usage")[0]
    assert b'"model":"mixtral-8x7b-instruct"' in answered.body
    runtime, replay = replaying(answered, keys=())
    completion = await runtime.generate(ask(model="smollm2"), Heard())
    assert replay.sent["model"] == "smollm2"
    assert completion.text == "The capital of France is Paris."
