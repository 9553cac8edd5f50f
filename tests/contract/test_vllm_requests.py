"""What the adapter asks of a vLLM, and what it never does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from router_mcp.domain import Capabilities, Choices, Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import RejectedError
from router_mcp.runtimes.vllm import is_guided, request_body
from router_mcp.tenancy import cache_salt
from tests.contract.calls import Heard
from tests.contract.replay import Exchange, Replay
from tests.contract.vllm_cases import PERSON
from tests.contract.vllm_replay import ENDPOINT, answer, ask, over, recorded, replaying

pytestmark = pytest.mark.anyio

CONSTRAINTS: dict[str, tuple[Constraint, str, Any]] = {
    "so_json_dict": (JsonSchema(PERSON), "json", PERSON),
    "so_choice": (Choices(("yes", "no", "maybe")), "choice", ["yes", "no", "maybe"]),
    "so_regex": (Regex(r"\d{3}-\d{4}"), "regex", r"\d{3}-\d{4}"),
    "so_grammar_ebnf": (
        Grammar('root ::= "SELECT " col " FROM t"\ncol ::= "a" | "b"'),
        "grammar",
        'root ::= "SELECT " col " FROM t"\ncol ::= "a" | "b"',
    ),
}
EVERYTHING = ask(
    seed=7, stop=("a", "b"), cache_salt="5a", priority=-5, constraint=Regex("a+"), max_output_tokens=9, temperature=0.5
)


def answered_by(*names: str) -> tuple[Replay, Any]:
    runtime, replay = replaying(*recorded(*names), keys=())
    return replay, runtime


def version(text: str) -> Exchange:
    return Exchange("GET", "/version", None, 200, (), b'{"version":"%s"}' % text.encode())


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_goes_in_the_field_that_was_seen_to_work(name: str) -> None:
    """vLLM B1 #6: any other field is accepted with a 200, and ignored."""
    body = request_body(ask(constraint=CONSTRAINTS[name][0]), guided=False)
    assert body["structured_outputs"] == recorded(name)[0].json["structured_outputs"]
    assert not [key for key in body if key.startswith("guided") or key in {"extra_body", "response_format"}]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_older_releases_get_the_field_that_they_know(name: str) -> None:
    """vLLM B1 #6, the other way round."""
    constraint, kind, value = CONSTRAINTS[name]
    body = request_body(ask(constraint=constraint), guided=True)
    assert body[f"guided_{kind}"] == value
    assert "structured_outputs" not in body


@pytest.mark.parametrize(
    ("release", "guided"),
    [
        ("0.32.0", False),
        ("0.12.0", False),
        ("v0.12.1rc1.dev3+g1a2b3c4", False),
        ("1.0.0", False),
        ("0.11.2", True),
        ("0.8.5.post1", True),
        ("0.1.dev1+g5d8e19e4", False),  # a build without tags
        ("nightly", False),
        (None, False),
    ],
)
def test_which_field_a_release_knows(release: str | None, guided: bool) -> None:
    assert is_guided(release) is guided


async def test_the_version_is_asked_once_and_only_for_a_constraint() -> None:
    free, bound = recorded("chat_stream_usage"), recorded("so_stream")
    runtime, replay = replaying(*free, version("0.11.0"), *bound, *bound, keys=())
    await runtime.generate(ask(), Heard())
    for _ in range(2):
        await runtime.generate(ask(constraint=JsonSchema(PERSON)), Heard())
        assert replay.sent["guided_json"] == PERSON
    assert replay.left == []


async def test_a_server_that_hides_its_version_is_taken_for_a_new_one() -> None:
    hidden = Exchange("GET", "/version", None, 404, (), b'{"detail":"Not Found"}')
    runtime, replay = replaying(hidden, *recorded("so_stream"), keys=())
    await runtime.generate(ask(constraint=JsonSchema(PERSON)), Heard())
    assert replay.sent["structured_outputs"] == {"json": PERSON}


def test_the_output_limit_always_goes_along() -> None:
    """vLLM B1 #8: without it the whole rest of the context is used."""
    body = request_body(ask(max_output_tokens=9), guided=False)
    assert body["max_tokens"] == 9
    assert "max_completion_tokens" not in body


def test_stop_strings_go_along_only_without_a_constraint() -> None:
    """vLLM B1 #7: one inside the JSON cuts it, and `ignore_eos` appends to it; both end with `stop`."""
    cut = recorded("so_stop_string_cuts_json")[0].answer["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert not cut["message"]["content"].rstrip().endswith("}")
    assert request_body(ask(stop=(",",)), guided=False)["stop"] == [","]
    assert not {"stop", "ignore_eos"} & set(request_body(EVERYTHING, guided=False))


def test_nothing_is_sent_that_nobody_asked_for() -> None:
    """vLLM B1 #18: a priority is ignored without its scheduler, so it is not sent by default."""
    assert set(request_body(ask(), guided=False)) == {"model", "messages", "max_tokens", "temperature"}
    assert request_body(EVERYTHING, guided=False) == {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 7,
        "cache_salt": "5a",
        "priority": -5,
        "structured_outputs": {"regex": "a+"},
    }


def test_the_white_space_switch_is_left_to_the_server() -> None:
    """vLLM B1 #19: in a request it has no effect, so it is never sent as if it had."""
    hot = recorded("so_request_level_disable_any_whitespace_True")[0]
    assert hot.json["structured_outputs"]["disable_any_whitespace"] is True
    assert "\n" in hot.answer["choices"][0]["message"]["content"]
    body = request_body(ask(constraint=JsonSchema(PERSON)), guided=False)
    assert body["structured_outputs"] == {"json": PERSON}


@pytest.mark.parametrize("name", ["cache_salt_128_ok", "cache_salt_hex64"])
async def test_the_salt_of_a_tenant_is_one_that_vllm_takes(name: str) -> None:
    """vLLM B1 #13: at most 128 characters, and no `@ / \\`, so never the tenant's own name."""
    taken = recorded(name)[0]
    ours = cache_salt("secret", "someone@example.com/team", epoch=3)
    assert taken.status == 200
    assert len(ours) <= len(taken.json["cache_salt"])
    assert ours.isalnum()


@pytest.mark.parametrize("name", ["cache_salt_129", "cache_salt_at_sign", "cache_salt_slash"])
async def test_a_salt_that_vllm_does_not_take_is_named(name: str) -> None:
    """vLLM B1 #13."""
    _, runtime = answered_by(name)
    with pytest.raises(RejectedError, match="because of 'cache_salt'"):
        await runtime.generate(ask(cache_salt="someone@example.com"), Heard())


async def test_every_call_carries_our_own_id() -> None:
    """vLLM B1 #17: the id that it makes up in the header is not the one in the body."""
    sent = recorded("x_request_id_sent")[0]
    assert sent.answer["id"] == "chatcmpl-router-req-123"
    replay, runtime = answered_by("chat_stream_usage")
    await runtime.generate(ask(request_id="router-req-123"), Heard())
    assert replay.requests[0].headers["x-request-id"] == "router-req-123"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nx-evil: 1", False),
        ("none", False),
        (None, False),
    ],
)
async def test_a_trace_is_passed_on_if_it_is_one(given: str | None, sent: bool) -> None:
    replay, runtime = answered_by("chat_stream_usage")
    await runtime.generate(ask(traceparent=given), Heard())
    assert replay.requests[0].headers.get("traceparent") == (given if sent else None)


async def test_the_key_goes_to_every_route_and_only_ours_are_used() -> None:
    """vLLM B1 #10: its key guards `/v1` only, and `/invocations` is inference without one."""
    seen: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(404 if request.url.path == "/healthz" else 200)

    runtime = over(httpx.MockTransport(refuse), api_key=" sk-one\n")
    await runtime.probe(ENDPOINT)
    await runtime.reset_cache(ENDPOINT)
    with pytest.raises(Exception, match="not an event stream"):
        await runtime.generate(ask(), Heard())
    paths = [request.url.path for request in seen]
    ours = "/healthz /health /v1/models /version /metrics /reset_prefix_cache /v1/chat/completions"
    assert " ".join(paths) == ours
    assert {request.headers["authorization"] for request in seen} == {"Bearer sk-one"}


async def test_without_a_key_none_is_sent() -> None:
    replay, runtime = answered_by("chat_stream_usage")
    await runtime.generate(ask(), Heard())
    assert "authorization" not in replay.requests[0].headers


async def test_it_can_be_asked_for_every_kind_of_constraint() -> None:
    _, runtime = answered_by()
    assert runtime.capabilities == Capabilities(json_schema=True, choices=True, regex=True, grammar=True)


async def test_closing_it_closes_its_connections() -> None:
    class Closing(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Closing(lambda request: answer(200))
    await over(transport).aclose()
    assert transport.closed
