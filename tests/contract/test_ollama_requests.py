"""What the adapter asks Ollama for. Ollama takes nearly anything without a word, so each field is checked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Capabilities, Choices, Constraint, Endpoint, Grammar, JsonSchema, Message, Regex
from router_mcp.errors import UnsupportedConstraintError
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import ENDPOINT, a_runtime, answers, ends, says
from tests.contract.replay import Replay

pytestmark = pytest.mark.anyio

PARIS = answers(says("Paris"), ends())
IMPORT = """
from router_mcp.errors import ConfigError
try:
    import router_mcp.runtimes.ollama
except ConfigError as error:
    print(error)
"""
PERSON = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}


async def sent(api_key: str | None = None, config: dict[str, Any] | None = None, **changes: Any) -> httpx.Request:
    replay = Replay([PARIS], keys=())
    await a_runtime(replay, api_key=api_key, **(config or {})).generate(a_call(ENDPOINT, **changes), Heard())
    return replay.requests[0]


async def test_the_whole_request_is_this_and_nothing_else() -> None:
    """Ollama #25: unknown fields, options and roles pass in silence, so a slip of ours would never show."""
    request = await sent(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Hi.")),
        temperature=0.3,
        max_output_tokens=7,
        context_window=8192,
        seed=3,
        stop=("END",),
        config={"keep_alive": "30m"},
    )
    assert str(request.url) == "http://127.0.0.1:11434/api/chat"
    assert json.loads(request.content) == {
        "model": "smollm2",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}],
        "stream": True,
        "shift": False,
        "truncate": False,
        "keep_alive": "30m",
        "options": {"num_ctx": 8192, "num_predict": 7, "temperature": 0.3, "seed": 3, "stop": ["END"]},
    }


async def test_what_would_restart_the_runner_never_changes_between_calls_of_a_model() -> None:
    """Ollama #16: a change of num_ctx, num_thread, num_batch, use_mmap, num_gpu or shift; leaving num_ctx out too."""
    schema = JsonSchema(PERSON)
    calls: tuple[dict[str, Any], ...] = (
        {},
        {"temperature": 1.0, "seed": 5},
        {"max_output_tokens": 900, "stop": ("x",)},
        {"constraint": schema},
    )
    bodies = [json.loads((await sent(context_window=4096, **changes)).content) for changes in calls]
    assert {(body["options"]["num_ctx"], body["shift"]) for body in bodies} == {(4096, False)}
    harmless = {"num_ctx", "num_predict", "temperature", "seed", "stop"}
    assert all(set(body["options"]) <= harmless for body in bodies)


@pytest.mark.parametrize("limit", [0, -1])
async def test_the_output_is_always_limited(limit: int) -> None:
    """Ollama #17: a num_predict of zero means that there is none."""
    assert json.loads((await sent(max_output_tokens=limit)).content)["options"]["num_predict"] == 1


async def test_the_native_route_is_used_and_its_own_words_for_limits() -> None:
    """Ollama #20: /v1 ignores max_completion_tokens and has no num_ctx."""
    request = await sent()
    assert request.url.path == "/api/chat"
    assert not {"max_tokens", "max_completion_tokens", "response_format", "n"} & set(json.loads(request.content))


async def test_thinking_is_neither_asked_for_nor_forbidden() -> None:
    """`think: true` is a 400 on most models, and `think: false` makes some ignore the schema (gateways L23)."""
    assert "think" not in json.loads((await sent()).content)


async def test_a_schema_goes_as_it_is_and_without_stop() -> None:
    """Ollama #3, #26: a real schema with its keys in their order; `stop` would cut the JSON."""
    body = json.loads((await sent(constraint=JsonSchema(PERSON), stop=("}",))).content)
    assert json.dumps(body["format"]) == json.dumps(PERSON)
    assert "stop" not in body["options"]


@pytest.mark.parametrize("constraint", [Choices(("a", "b")), Regex("a+"), Grammar('root ::= "a"')])
async def test_a_constraint_that_is_no_schema_is_refused_before_anything_is_sent(constraint: Constraint) -> None:
    replay = Replay([], keys=())
    with pytest.raises(UnsupportedConstraintError, match=type(constraint).__name__.lower()):
        await a_runtime(replay).generate(a_call(ENDPOINT, constraint=constraint), Heard())
    assert replay.requests == []


async def test_it_says_what_it_can_be_asked_for() -> None:
    assert a_runtime(Replay([])).capabilities == Capabilities(grammar=False)


async def test_text_that_is_no_text_and_numbers_of_any_size_can_be_sent() -> None:
    """A lone surrogate in one caller's prompt must not count as a failure of the endpoint."""
    request = await sent(
        messages=(Message(role="user", content="a\ud800b 😀"),), constraint=JsonSchema({"maximum": 10**30})
    )
    body = json.loads(request.content)
    assert body["messages"][0]["content"] == "a?b 😀"
    assert body["format"]["maximum"] == 10**30


async def test_a_call_can_be_found_in_logs_and_traces() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = (await sent(request_id="call-7", traceparent=trace)).headers
    assert (headers["x-request-id"], headers["traceparent"]) == ("call-7", trace)
    assert "traceparent" not in (await sent(traceparent="evil\r\nhost: x")).headers


async def test_only_a_configured_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client takes OLLAMA_API_KEY by itself, which would hand that key to every endpoint."""
    monkeypatch.setenv("OLLAMA_API_KEY", "not-for-you")
    assert "authorization" not in (await sent()).headers
    assert (await sent(api_key="for-you\n")).headers["authorization"] == "Bearer for-you"


async def test_a_server_behind_a_path_is_reached() -> None:
    replay = Replay([replace(PARIS, path="/ollama/api/chat")], keys=())
    endpoint = Endpoint(runtime="ollama", url="https://models.example/ollama")
    completion = await a_runtime(replay, endpoints=(endpoint.url,)).generate(a_call(endpoint), Heard())
    assert completion.text == "Paris"


async def test_closing_closes_the_shared_connections_once() -> None:
    class Counted(Replay):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    transport = Counted([])
    await a_runtime(transport, endpoints=("http://127.0.0.1:1", "http://127.0.0.1:2")).aclose()
    assert transport.closed == 1


@pytest.mark.parametrize("value", ["30m", "1h30m", "-1s", "1.5h", 300, -1, 0])
async def test_how_long_a_model_stays_loaded_goes_along(value: str | int) -> None:
    assert json.loads((await sent(config={"keep_alive": value})).content)["keep_alive"] == value


@pytest.mark.parametrize("value", ["soon", "300", "-1", ""])
def test_a_duration_that_ollama_would_refuse_with_every_call_is_refused_in_the_policy(value: str) -> None:
    """Ollama, ordinary: "soon" and "300" are a 400; a unit is needed."""
    with pytest.raises(ValidationError, match="a duration has a unit"):
        RuntimeConfig(kind="ollama", endpoints=(ENDPOINT.url,), keep_alive=value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OLLAMA_HOST", "http://a:notaport"), ("ALL_PROXY", "socks5://127.0.0.1:1"), ("SSL_CERT_FILE", "/nowhere/cert")],
)
def test_a_variable_that_stops_the_client_is_a_configuration_error(variable: str, value: str) -> None:
    """The ollama package makes a client of its own, from the environment, while it is imported."""
    clean = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    shown = subprocess.run(
        [sys.executable, "-c", IMPORT], env=clean | {variable: value}, capture_output=True, text=True, check=True
    ).stdout
    assert "does not start" in shown
    assert value not in shown
