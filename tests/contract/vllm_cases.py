"""What the adapter must get right with a vLLM, real or recorded; both suites run exactly these functions.

`make live-vllm` runs them against a server. With `RECORD=1` it also writes what went over the wire to
`recordings/`, and `test_vllm_cases.py` holds the adapter to that.
"""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from router_mcp.domain import Choices, Constraint, Endpoint, Grammar, JsonSchema, Message, Regex
from router_mcp.errors import ContextTooLongError, ModelMissingError, RejectedError, UnsupportedConstraintError
from router_mcp.runtimes.base import Runtime
from tests.contract.calls import FRANCE, Heard, a_call

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
INVENT = "Invent a person. Answer as JSON with name and age."


async def text_of(runtime: Runtime, endpoint: Endpoint, prompt: str, constraint: Constraint) -> str:
    """Return what a constrained call says, having seen that it came to its own end."""
    completion = await runtime.generate(a_call(endpoint, prompt, constraint=constraint, max_output_tokens=60), Heard())
    assert completion.finish_reason == "stop"
    return completion.text


async def answers_and_says_that_it_came_to_an_end(runtime: Runtime, endpoint: Endpoint) -> None:
    heard = Heard()
    completion = await runtime.generate(a_call(endpoint, max_output_tokens=200), heard)
    assert completion.text == "".join(heard.texts)
    assert all(heard.texts)
    assert completion.finish_reason == "stop"
    assert completion.usage.input_tokens > 30
    assert completion.usage.output_tokens >= len(heard.texts)


async def says_that_it_was_cut_at_the_limit(runtime: Runtime, endpoint: Endpoint) -> None:
    completion = await runtime.generate(a_call(endpoint, "Tell a story.", max_output_tokens=5), Heard())
    assert completion.finish_reason == "length"
    assert completion.usage.output_tokens == 5


async def follows_the_system_and_the_history(runtime: Runtime, endpoint: Endpoint) -> None:
    turns = (
        Message(role="system", content="You answer in one word."),
        Message(role="user", content="What is the capital of Italy?"),
        Message(role="assistant", content="Rome"),
        Message(role="user", content=FRANCE),
    )
    completion = await runtime.generate(a_call(endpoint, messages=turns), Heard())
    assert "Paris" in completion.text


async def repeats_itself_with_the_same_seed(runtime: Runtime, endpoint: Endpoint) -> None:
    story = a_call(endpoint, "Tell a story.", temperature=1.0, seed=7)
    first = await runtime.generate(story, Heard())
    second = await runtime.generate(story, Heard())
    assert first.text == second.text


async def ends_at_a_stop_string(runtime: Runtime, endpoint: Endpoint) -> None:
    completion = await runtime.generate(a_call(endpoint, "Tell a story.", stop=(" ",)), Heard())
    assert completion.finish_reason == "stop"
    assert completion.text
    assert " " not in completion.text


async def takes_salt_priority_and_trace(runtime: Runtime, endpoint: Endpoint) -> None:
    call = a_call(
        endpoint,
        cache_salt="5a" * 32,
        priority=-5,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    assert (await runtime.generate(call, Heard())).text


async def keeps_to_a_json_schema(runtime: Runtime, endpoint: Endpoint) -> None:
    said = json.loads(await text_of(runtime, endpoint, INVENT, JsonSchema(PERSON)))
    jsonschema.validate(said, PERSON)


async def keeps_to_choices(runtime: Runtime, endpoint: Endpoint) -> None:
    said = await text_of(runtime, endpoint, "Is water wet?", Choices(("yes", "no", "maybe")))
    assert said in {"yes", "no", "maybe"}


async def keeps_to_a_regular_expression(runtime: Runtime, endpoint: Endpoint) -> None:
    said = await text_of(runtime, endpoint, "Give me a phone number.", Regex(r"\d{3}-\d{4}"))
    assert re.fullmatch(r"\d{3}-\d{4}", said)


async def keeps_to_a_grammar_in_ebnf(runtime: Runtime, endpoint: Endpoint) -> None:
    grammar = Grammar('root ::= "SELECT " col " FROM t"\ncol ::= "a" | "b"')
    assert await text_of(runtime, endpoint, "Write SQL.", grammar) in {"SELECT a FROM t", "SELECT b FROM t"}


async def keeps_to_a_grammar_in_lark(runtime: Runtime, endpoint: Endpoint) -> None:
    grammar = Grammar('start: "SELECT " col " FROM t"\ncol: "a" | "b"')
    assert await text_of(runtime, endpoint, "Write SQL.", grammar) in {"SELECT a FROM t", "SELECT b FROM t"}


async def says_that_cut_json_was_cut(runtime: Runtime, endpoint: Endpoint) -> None:
    """vLLM B1 #8: the limit cuts JSON with a 200; only the finish reason tells."""
    call = a_call(endpoint, INVENT, constraint=JsonSchema(PERSON), max_output_tokens=6)
    completion = await runtime.generate(call, Heard())
    assert completion.finish_reason == "length"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(completion.text)


async def ignores_stop_strings_under_a_constraint(runtime: Runtime, endpoint: Endpoint) -> None:
    """vLLM B1 #7: a stop string would cut the JSON and still be reported as a good end."""
    call = a_call(endpoint, INVENT, constraint=JsonSchema(PERSON), stop=(",", "}"), max_output_tokens=60)
    jsonschema.validate(json.loads((await runtime.generate(call, Heard())).text), PERSON)


async def names_the_keyword_that_it_cannot_enforce(runtime: Runtime, endpoint: Endpoint) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    with pytest.raises(UnsupportedConstraintError, match="cannot enforce uniqueItems in this constraint"):
        await text_of(runtime, endpoint, "Count.", JsonSchema(schema))


async def refuses_a_prompt_beyond_the_window(runtime: Runtime, endpoint: Endpoint) -> None:
    with pytest.raises(ContextTooLongError, match="window of 2048 tokens, and the prompt has 2049 or more"):
        await runtime.generate(a_call(endpoint, "word " * 3000), Heard())


async def refuses_an_output_limit_beyond_the_window(runtime: Runtime, endpoint: Endpoint) -> None:
    with pytest.raises(ContextTooLongError, match="window of 2048 tokens"):
        await runtime.generate(a_call(endpoint, max_output_tokens=4096), Heard())


async def is_cut_where_prompt_and_limit_together_pass_the_window(runtime: Runtime, endpoint: Endpoint) -> None:
    """vLLM B1 #8: the limit shrinks without a word, so the finish reason is all that tells."""
    call = a_call(endpoint, "word " * 1980, max_output_tokens=1000, constraint=Regex("[a-z]{500,}"))
    completion = await runtime.generate(call, Heard())
    assert completion.finish_reason == "length"
    assert completion.usage.input_tokens + completion.usage.output_tokens == 2048


async def does_not_have_every_model(runtime: Runtime, endpoint: Endpoint) -> None:
    """vLLM B1 #20: the answer lists all served names; the error must not."""
    with pytest.raises(ModelMissingError, match=r"no model 'nope'.*--served-model-name") as caught:
        await runtime.generate(a_call(endpoint, model="nope"), Heard())
    assert "mixtral" not in str(caught.value)


async def refuses_arguments_that_it_cannot_take(runtime: Runtime, endpoint: Endpoint) -> None:
    with pytest.raises(RejectedError, match="because of 'stop'"):
        await runtime.generate(a_call(endpoint, stop=("a", "b", "c", "d", "e")), Heard())


async def tells_how_it_is(runtime: Runtime, endpoint: Endpoint) -> None:
    """vLLM B1 #11: `/health` is the probe; `/healthz` does not exist."""
    probe = await runtime.probe(endpoint)
    assert probe.models is not None
    assert {"mixtral-8x7b-instruct", "smollm2"} <= probe.models
    assert re.match(r"\d+\.\d+", probe.version or "")
    assert probe.running == 0
    assert probe.tokens_total is not None
    assert probe.tokens_total >= 0
    assert probe.loaded is None


async def drops_its_cache_when_idle(runtime: Runtime, endpoint: Endpoint) -> None:
    assert await runtime.reset_cache(endpoint) is True


CASES = (
    answers_and_says_that_it_came_to_an_end,
    says_that_it_was_cut_at_the_limit,
    follows_the_system_and_the_history,
    repeats_itself_with_the_same_seed,
    ends_at_a_stop_string,
    takes_salt_priority_and_trace,
    keeps_to_a_json_schema,
    keeps_to_choices,
    keeps_to_a_regular_expression,
    keeps_to_a_grammar_in_ebnf,
    keeps_to_a_grammar_in_lark,
    says_that_cut_json_was_cut,
    ignores_stop_strings_under_a_constraint,
    names_the_keyword_that_it_cannot_enforce,
    refuses_a_prompt_beyond_the_window,
    refuses_an_output_limit_beyond_the_window,
    is_cut_where_prompt_and_limit_together_pass_the_window,
    does_not_have_every_model,
    refuses_arguments_that_it_cannot_take,
    tells_how_it_is,
    drops_its_cache_when_idle,
)
