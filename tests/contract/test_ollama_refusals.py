"""Ollama's refusals: which error each becomes, and that nothing of its text passes through."""

from __future__ import annotations

import json

import pytest

from router_mcp.domain import JsonSchema
from router_mcp.errors import (
    AttemptError,
    ContextTooLongError,
    ModelMissingError,
    ModelUnusableError,
    OverloadedError,
    RejectedError,
    ServerFailedError,
    UnauthorizedError,
    UnsupportedConstraintError,
)
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import ENDPOINT, OLLAMA, a_runtime, failed
from tests.contract.replay import Exchange, Replay, recording

pytestmark = pytest.mark.anyio

A_SCHEMA = JsonSchema({"type": "string"})


async def refused(status: int, body: str, *, schema: bool = False, wait: str | None = None) -> AttemptError:
    headers = () if wait is None else (("Retry-After", wait),)
    one = Exchange("POST", "/api/chat", {}, status, headers, body.encode())
    with pytest.raises(AttemptError) as caught:
        await a_runtime(Replay([one], keys=())).generate(
            a_call(ENDPOINT, model="tiny", constraint=A_SCHEMA if schema else None), Heard()
        )
    return caught.value


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("041f_n_truncate_false_shift_false_stream", 2031),
        ("041f_r_truncate_false_shift_false_stream", 2010),
        ("041e_n_truncate_false_shift_false", 2031),
        ("041e_r_truncate_false_shift_false", 2010),
        ("041c_n_truncate_false", 2031),
        ("041c_r_truncate_false", 2010),
        ("041_n_prompt_longer_than_num_ctx", 2040),
        ("041d_n_shift_false", 2031),
    ],
)
async def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(name: str, tokens: int) -> None:
    """Ollama #6: with `shift` and `truncate` false both routes say 400 instead of cutting the prompt."""
    error = await failed(name)
    assert isinstance(error, ContextTooLongError)
    assert f"{tokens} tokens" in str(error)
    assert "512 tokens" in str(error)


async def test_a_prompt_that_does_not_fit_may_come_without_numbers() -> None:
    """Ollama #6: the rendered route checks by itself when only `shift` is false; the window is the policy's then."""
    error = await failed("041d_r_shift_false", context_window=777)
    assert isinstance(error, ContextTooLongError)
    assert "777 tokens" in str(error)


async def test_the_context_window_that_counts_is_the_servers() -> None:
    """Ollama #17: a num_ctx beyond what the model was trained for is lowered in silence."""
    assert "512 tokens" in str(await failed("041f_r_truncate_false_shift_false_stream", context_window=100_000))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("026h_n_format_bad_type", UnsupportedConstraintError),
        ("041c_n_truncate_false", ContextTooLongError),
        ("023f_repeat_penalty_0", RejectedError),
    ],
)
async def test_an_error_within_an_error_is_read(name: str, kind: type[AttemptError]) -> None:
    """Ollama #7: llama-server's refusal is JSON within a string."""
    assert type(await failed(name)) is kind


@pytest.mark.parametrize(
    "name",
    [
        "022f_type_temperature_string",
        "022g_type_num_ctx_string",
        "022i_type_stop_string",
        "022n_stop_list_of_int",
        "022o_num_predict_string",
        "026_n_format_string_xml",
        "026_r_format_string_xml",
        "026f_n_format_true",
    ],
)
async def test_a_wrong_option_is_the_requests_fault_although_it_is_a_500(name: str) -> None:
    """Ollama #8: no other endpoint would like it better, and this one is well."""
    typed = {"temperature": 0.0, "max_output_tokens": 5, "context_window": 2048, "seed": 1, "constraint": None}
    error = await failed(name, **typed)  # ours are never of a wrong type, so only the answer is as recorded
    assert isinstance(error, RejectedError)
    assert (error.blames, error.try_next) == ("nobody", False)


async def test_an_error_text_about_another_request_decides_nothing() -> None:
    """Ollama #9: a killed runner's 500 quotes the grammar errors of calls before it."""
    quoted = recording(OLLAMA, "080_py_runner_killed_nonstream")["response"]["raised"]["error"]
    assert "grammar" in quoted
    for schema in (False, True):
        error = await refused(500, json.dumps({"error": quoted}), schema=schema)
        assert isinstance(error, ServerFailedError)
        assert "grammar" not in str(error)


async def test_a_grammar_error_of_an_unconstrained_call_is_not_its_own() -> None:
    """Ollama #9."""
    assert isinstance(await failed("026o_n_format_contradiction", constraint=None), ServerFailedError)


async def test_a_full_queue_asks_to_wait_and_blames_nobody() -> None:
    """Ollama #14: 503 only for models that must be loaded, and without Retry-After."""
    turned_away = recording(OLLAMA, "055b_overload_other_model_max_queue_1")["response"]["all"][2]
    assert turned_away["status"] == 503
    error = await refused(503, turned_away["body"])
    assert isinstance(error, OverloadedError)
    assert (error.blames, error.retry_after_s) == ("nobody", None)
    assert (await refused(503, turned_away["body"], wait="7")).retry_after_s == 7


async def test_a_proxys_503_is_a_failed_server() -> None:
    assert isinstance(await refused(503, "<html>no upstream</html>"), ServerFailedError)


async def test_a_foreign_host_name_is_told_from_a_wrong_key() -> None:
    """Ollama #21: a 403 without a body; a proxy that wants a key has something to say."""
    assert recording(OLLAMA, "009d_host_header_container_name")["response"]["body"] == ""
    error = await refused(403, "")
    assert isinstance(error, UnauthorizedError)
    assert "OLLAMA_HOST" in str(error)
    key = await refused(403, "Forbidden")
    assert isinstance(key, UnauthorizedError)
    assert "api_key_env" in str(key)
    assert isinstance(await refused(401, ""), UnauthorizedError)


@pytest.mark.parametrize(
    "name",
    ["020_unknown_model_chat", "020b_unknown_model_chat_stream", "020e_unknown_tag", "020f_missing_tag_latest"],
)
async def test_a_missing_model_is_named_with_how_to_get_it(name: str) -> None:
    error = await failed(name)
    assert isinstance(error, ModelMissingError)
    asked = recording(OLLAMA, name)["request"]["json"]["model"]
    assert f"ollama pull {asked}" in str(error)


@pytest.mark.parametrize("name", ["020g_invalid_model_name", "020k_cloud_model", "020l_cloud_model2"])
async def test_a_model_that_cannot_be_there_blames_the_model(name: str) -> None:
    error = await failed(name)
    assert isinstance(error, ModelMissingError)
    assert "ollama cloud" not in str(error)


async def test_an_unknown_route_is_a_wrong_url_and_no_missing_model() -> None:
    """Ollama #22: 404 and 405 for routes are text, 404 for models is JSON."""
    for status, body in ((404, "404 page not found"), (405, "405 method not allowed"), (301, "<a>Moved</a>")):
        error = await refused(status, body)
        assert isinstance(error, ServerFailedError)
        assert "URL" in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "094_blob_missing_chat",
        "025g_chat_on_embed_model",
        "094e_blob_truncated_chat",
        "094f_blob_truncated_chat_stream",
    ],
)
async def test_a_damaged_model_blames_the_model_alone(name: str) -> None:
    """Ollama #23: a missing file is a 400 "does not support chat", a cut one a 500; /api/tags lists both."""
    error = await failed(name)
    assert isinstance(error, ModelUnusableError)
    assert (error.blames, error.try_next) == ("model", True)
    assert error.outcome != ModelMissingError.outcome  # a probe that lists the model must not clear it


async def test_a_model_that_does_not_fit_in_memory_blames_the_model_alone() -> None:
    text = "model requires more system memory (8.4 GiB) than is available (7.7 GiB)"
    error = await refused(500, json.dumps({"error": text}))
    assert isinstance(error, ModelUnusableError)
    assert "memory for 'tiny'" in str(error)


async def test_a_server_without_its_runner_has_failed_and_shows_no_paths() -> None:
    """Ollama #23."""
    error = await failed("095_runner_binary_missing")
    assert isinstance(error, ServerFailedError)
    assert "llama-server" not in str(error)


@pytest.mark.parametrize("route", ["n", "r"])
@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("026h_{}_format_bad_type", "a type in this schema"),
        ("026n_{}_format_bad_schema_stream", "a type in this schema"),
        ("026i_{}_format_bad_ref", "a $ref that leads nowhere"),
        ("026k_{}_format_bad_pattern", "a pattern in this schema"),
        ("026l_{}_format_unanchored_pattern", "a pattern without ^ and $"),
        ("026q_{}_format_bool_property", "true as a subschema"),
        ("030_{}_schema_prefixItems", "false as a subschema"),
        ("030_{}_schema_recursion_root_ref", "a $ref to the whole schema"),
    ],
)
async def test_a_schema_that_it_cannot_take_is_named_in_our_words(case: str, route: str, named: str) -> None:
    """Ollama, section 4."""
    error = await failed(case.format(route))
    assert isinstance(error, UnsupportedConstraintError)
    assert named in str(error)


async def test_an_unknown_complaint_about_a_grammar_is_an_unsupported_constraint() -> None:
    body = json.dumps({"error": json.dumps({"error": {"code": 400, "message": "Failed to parse grammar"}})})
    assert "this constraint" in str(await refused(400, body, schema=True))
    assert isinstance(await refused(400, body), RejectedError)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"error":"json: cannot unmarshal string"}', RejectedError),
        (400, "", ServerFailedError),
        (400, "<html>The plain HTTP request was sent to HTTPS port</html>", ServerFailedError),
        (409, '{"error":"being loaded"}', OverloadedError),
        (413, "<html>too large</html>", ContextTooLongError),
        (413, '{"error":"too large"}', RejectedError),
        (418, '{"error":"I am a teapot"}', ServerFailedError),
        (422, "[]", ServerFailedError),
        (429, '{"error":"slow down"}', OverloadedError),
        (500, '{"error":{"message":"x"}}', ServerFailedError),
        (500, '{"error":{"message":null,"type":7}}', ServerFailedError),
        (500, '{"error":"{not json"}', ServerFailedError),
        (500, '{"error":"{\\"error\\":5}"}', ServerFailedError),
        (500, '{"error":7}', ServerFailedError),
        (500, "[]", ServerFailedError),
        (500, "null", ServerFailedError),
        (501, '{"error":"This server does not support embeddings."}', ServerFailedError),
        (502, "<html>Bad gateway</html>", ServerFailedError),
        (400, '{"error":{"type":"exceed_context_size_error","n_ctx":"many"}}', ContextTooLongError),
    ],
)
async def test_every_other_refusal_is_what_its_status_says(status: int, body: str, kind: type[AttemptError]) -> None:
    """Ollama, section 5: `fake_429`, `fake_500_*` and `fake_502_html` among them.

    A 400 that is not Ollama's is a proxy's: it says nothing of the request, which the fallback may well serve.
    """
    assert type(await refused(status, body)) is kind
