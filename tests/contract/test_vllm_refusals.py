"""What each refusal that was recorded means, and that none of its words get through."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from router_mcp.domain import Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import (
    AttemptError,
    ContextTooLongError,
    ModelMissingError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnauthorizedError,
    UnsupportedConstraintError,
)
from router_mcp.runtimes.vllm_refusals import refusal
from tests.contract.calls import Heard
from tests.contract.replay import recording
from tests.contract.vllm_replay import VLLM, answer, ask, over, recorded, replaying

pytestmark = pytest.mark.anyio

SCHEMA = JsonSchema({"type": "object"})
PLAIN: list[tuple[str, type[AttemptError], str]] = [
    ("err_prompt_too_long", ContextTooLongError, "window of 2048 tokens, and the prompt has 2049 or more"),
    ("big_body_1mb", ContextTooLongError, "window of 2048 tokens. Shorten"),
    ("err_max_tokens_over_context", ContextTooLongError, "window of 2048 tokens. Shorten"),
    ("chat_stream_error_before", ModelMissingError, "no model 'smollm2'. Start it with --served-model-name"),
    ("err_unknown_model", ModelMissingError, "no model 'smollm2'"),
    ("auth_none", UnauthorizedError, "refused the key (401)"),
    ("auth_wrong", UnauthorizedError, "refused the key (401)"),
    ("chat_render", UnauthorizedError, "refused the key (403)"),
    ("admission_503", OverloadedError, "full queue"),
    ("err_path_unknown", ServerFailedError, "no such route (404). Correct the endpoint's URL"),
    ("err_method_get", ServerFailedError, "no such route (405)"),
    ("trailing_slash_redirect", ServerFailedError, "redirect (307). Correct its URL"),
    ("keepalive_on_engine_death_chat", ServerFailedError, "engine of vllm-reasoning"),
    ("keepalive_on_engine_death_health", ServerFailedError, "failed (503)"),
    ("latch_xgrammar_first_5_old_tuple_items", ServerFailedError, "failed (500)"),
    ("err_temperature_5", RejectedError, "because of 'temperature'"),
    ("err_huge_stop_list", RejectedError, "because of 'stop'"),
    ("err_empty_messages", RejectedError, "refused the request"),
    ("err_content_null", RejectedError, "because of 'messages'"),
    ("err_malformed_json", RejectedError, "refused the request (400)"),
    ("err_cache_salt_long", RejectedError, "because of 'cache_salt'"),
    ("so_rf_schema_unsatisfiable", RejectedError, "refused the request"),
]
CONSTRAINED: list[tuple[str, Constraint, str]] = [
    ("schema_unique_items", SCHEMA, "enforce uniqueItems in this constraint"),
    ("schema_contains", SCHEMA, "enforce contains in this constraint"),
    ("schema_format_unknown", SCHEMA, "enforce format in this constraint"),
    ("schema_guidance_nows_not_keyword", SCHEMA, "enforce not in this constraint"),
    ("schema_guidance_nows_oneof_overlap", SCHEMA, "oneOf in this constraint"),
    ("schema_xgrammar_nows_allof_two", SCHEMA, "enforce this constraint"),
    ("so_rf_schema_unsatisfiable", SCHEMA, "this constraint"),
    ("so_rf_schema_bad_ref", SCHEMA, "this constraint"),
    ("so_choice_empty", SCHEMA, "this constraint"),
    ("so_empty", SCHEMA, "this constraint"),
    ("so_regex_bad", Regex("("), "this constraint"),
    ("so_grammar_bad", Grammar("root ::= ("), "this constraint"),
]


async def refused(name: str, **changes: Any) -> AttemptError:
    """Return what the adapter makes of a recorded refusal; one of another route would read the same here."""
    before = recorded("version") if "constraint" in changes else ()
    refusing = replace(recorded(name)[0], method="POST", path="/v1/chat/completions")
    runtime, _ = replaying(*before, refusing, keys=())
    with pytest.raises(AttemptError) as caught:
        await runtime.generate(ask(**changes), Heard())
    return caught.value


def words_of(name: str) -> list[str]:
    """Return every run of four words of what vLLM said."""
    said = recorded(name)[0].body.decode()
    words = re.findall(r"[\w.@/-]+", said)
    return [" ".join(words[start : start + 4]) for start in range(len(words) - 3)]


@pytest.mark.parametrize(("name", "kind", "text"), PLAIN, ids=[name for name, *_ in PLAIN])
async def test_a_refusal_is_understood(name: str, kind: type[AttemptError], text: str) -> None:
    error = await refused(name)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(("name", "constraint", "text"), CONSTRAINED, ids=[name for name, *_ in CONSTRAINED])
async def test_a_refused_constraint_names_its_keyword(name: str, constraint: Constraint, text: str) -> None:
    error = await refused(name, constraint=constraint)
    assert type(error) is UnsupportedConstraintError
    assert text in str(error)


@pytest.mark.parametrize("name", [name for name, *_ in [*PLAIN, *CONSTRAINED]])
async def test_no_words_of_vllm_get_through(name: str) -> None:
    """vLLM B1 #20: they list every served name, the path of the model, and internal structures."""
    shown = " ".join(re.findall(r"[\w.@/-]+", str(await refused(name, constraint=SCHEMA))))
    assert not [run for run in words_of(name) if run in shown]
    for secret in ("mixtral", "qwen", "models/", "_backend", "pydantic", "validation error"):
        assert secret not in shown


async def test_an_error_500_under_a_constraint_is_the_constraints_fault() -> None:
    """vLLM B1 #1: a schema that its back end was not made for; the engine is well and serves the next call."""
    name = "latch_xgrammar_first_5_old_tuple_items"
    assert "health afterwards 200" in recording(VLLM, name)["note"]
    error = await refused(name, constraint=SCHEMA)
    assert type(error) is UnsupportedConstraintError
    assert error.blames == "nobody"


async def test_a_dead_engine_is_no_fault_of_the_constraint() -> None:
    assert type(await refused("keepalive_on_engine_death_chat", constraint=SCHEMA)) is ServerFailedError


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, None, ServerFailedError),
        (413, None, ContextTooLongError),
        (422, [], ServerFailedError),
        (413, {"error": "too large"}, RejectedError),
        (409, None, OverloadedError),
        (418, None, ServerFailedError),
    ],
)
async def test_a_refusal_that_vllm_did_not_write_sends_the_call_on(
    status: int, body: object, kind: type[AttemptError]
) -> None:
    """A proxy that was told http for https, or that has a limit of its own, says nothing of the request's worth."""
    error = refusal(ask(), status, httpx.Headers(), body)
    assert type(error) is kind
    assert error.try_next == (kind is not RejectedError)


async def test_a_server_that_drains_is_left_for_another() -> None:
    """vLLM B1 #4: new calls get a 500, while `/health` stays 200 and old calls are finished."""
    first = recording(VLLM, "lifecycle_sigterm_drain30")["response"]["probes"][0]
    assert first["health"] == 200
    error = refusal(ask(), first["new_request"], httpx.Headers(), first["new_request_body"])
    assert type(error) is ServerFailedError
    assert "shutting down" in str(error)
    assert error.try_next


async def test_a_full_queue_says_when_to_come_back() -> None:
    busy = recorded("admission_503")[0].answer
    error = refusal(ask(), 503, httpx.Headers({"retry-after": "7"}), busy)
    assert (type(error), error.retry_after_s) == (OverloadedError, 7.0)


@pytest.mark.parametrize("body", [None, [], "busy", {"error": "Service Unavailable"}, {"detail": "gone"}])
async def test_a_503_of_a_proxy_is_a_failed_server(body: object) -> None:
    assert type(refusal(ask(), 503, httpx.Headers(), body)) is ServerFailedError


async def test_the_flat_errors_of_older_releases_are_understood() -> None:
    flat = {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}
    assert type(refusal(ask(), 404, httpx.Headers(), flat)) is ModelMissingError


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b'{"error":', b"\xff\xfe"])
async def test_a_refusal_that_is_no_json_is_judged_by_its_status(body: bytes) -> None:
    runtime = over(httpx.MockTransport(lambda request: answer(502, body)))
    with pytest.raises(ServerFailedError, match=r"failed \(502\)"):
        await runtime.generate(ask(), Heard())
