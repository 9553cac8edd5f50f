"""What the adapter must get right with an Ollama, real or recorded; both suites run exactly these functions.

`make live-ollama` runs them against the server at `OLLAMA_URL`. They hold on both of its chat routes.
"""

from __future__ import annotations

import json

import jsonschema
import pytest

from router_mcp.domain import Call, Endpoint, JsonSchema
from router_mcp.errors import ContextTooLongError, ModelMissingError, UnsupportedConstraintError
from router_mcp.runtimes.base import Runtime
from tests.contract.calls import FRANCE, Heard, a_call

ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
    "required": ["city", "zip"],
}
PERSON = {
    "type": "object",
    "properties": {
        "person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "address": ADDRESS},
            "required": ["name", "address"],
        }
    },
    "required": ["person"],
}
SEA = "Write one sentence about the sea."
LONG = "The quick brown fox jumps over the lazy dog. " * 200


def to(endpoint: Endpoint, model: str, prompt: str = FRANCE, **changes: object) -> Call:
    """Return a greedy call with a seed."""
    return a_call(endpoint, prompt, **({"model": model, "seed": 1, "context_window": 4096} | changes))


async def answers_and_says_how_it_ended(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """The text is what the listener was told, and both sides of the usage are counted."""
    heard = Heard()
    completion = await runtime.generate(to(endpoint, model, max_output_tokens=200), heard)
    assert completion.text == "".join(heard.texts)
    assert completion.text.strip()
    assert completion.usage.input_tokens > 0
    assert completion.usage.output_tokens > 0


async def stops_at_the_token_limit(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #20: its own word for the limit is the one that counts."""
    completion = await runtime.generate(to(endpoint, model, SEA, max_output_tokens=5), Heard())
    assert (completion.finish_reason, completion.usage.output_tokens) == ("length", 5)


async def leaves_the_stop_string_out(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """A stop string ends an answer well."""
    completion = await runtime.generate(to(endpoint, model, SEA, stop=("sea", "ocean"), max_output_tokens=200), Heard())
    assert completion.finish_reason == "stop"
    assert "sea" not in completion.text


async def says_the_same_for_the_same_seed(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """One pair, as recorded."""
    call = to(endpoint, model, SEA, seed=42, temperature=1.0)
    assert (await runtime.generate(call, Heard())).text == (await runtime.generate(call, Heard())).text


async def keeps_to_a_schema(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #3: a real schema is enforced on both routes."""
    call = to(endpoint, model, "Invent a person with an address.", constraint=JsonSchema(PERSON), max_output_tokens=300)
    completion = await runtime.generate(call, Heard())
    assert completion.finish_reason == "stop"
    jsonschema.validate(json.loads(completion.text), PERSON)


async def does_not_have_every_model(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """The remedy names the model that we asked for."""
    with pytest.raises(ModelMissingError, match=r"ollama pull no-such-model"):
        await runtime.generate(to(endpoint, "no-such-model"), Heard())


async def refuses_a_prompt_that_does_not_fit(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #6: instead of cutting it in silence."""
    with pytest.raises(ContextTooLongError, match=r"512 tokens"):
        await runtime.generate(to(endpoint, model, LONG, context_window=512), Heard())


async def refuses_a_schema_that_it_cannot_take(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #7: the reason is JSON within a string."""
    with pytest.raises(UnsupportedConstraintError, match=r"a type in this schema"):
        await runtime.generate(to(endpoint, model, constraint=JsonSchema({"type": "foo"})), Heard())


async def gives_up_on_a_schema_that_nothing_satisfies(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #1: a 200 without a line, or a 500."""
    impossible = JsonSchema({"type": "integer", "minimum": 5, "maximum": 1})
    with pytest.raises(UnsupportedConstraintError):
        await runtime.generate(to(endpoint, model, constraint=impossible), Heard())


async def says_what_it_has_and_what_is_loaded(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Ollama #22, #24."""
    await runtime.generate(to(endpoint, model, max_output_tokens=5), Heard())
    probe = await runtime.probe(endpoint)
    assert probe.version
    assert probe.models
    assert model in probe.models
    assert probe.loaded
    assert model in probe.loaded


async def forgets_everything_when_told(runtime: Runtime, endpoint: Endpoint, model: str) -> None:
    """Prefixes live as long as their runner."""
    await runtime.generate(to(endpoint, model, max_output_tokens=5), Heard())
    assert await runtime.reset_cache(endpoint)
    assert (await runtime.probe(endpoint)).loaded == frozenset()


CASES = (
    answers_and_says_how_it_ended,
    stops_at_the_token_limit,
    leaves_the_stop_string_out,
    says_the_same_for_the_same_seed,
    keeps_to_a_schema,
    does_not_have_every_model,
    refuses_a_prompt_that_does_not_fit,
    refuses_a_schema_that_it_cannot_take,
    gives_up_on_a_schema_that_nothing_satisfies,
    says_what_it_has_and_what_is_loaded,
    forgets_everything_when_told,
)
