"""Ollama's answers: what is one, what only looks like one, and what a broken one is called."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from router_mcp.domain import JsonSchema, Usage
from router_mcp.errors import AttemptError, BrokenStreamError, OutputInvalidError, UnsupportedConstraintError
from tests.contract.calls import Heard, a_call
from tests.contract.ollama_traffic import ENDPOINT, a_runtime, answers, call_of, ends, exchange, failed, replayed, says
from tests.contract.replay import Exchange, Replay

pytestmark = pytest.mark.anyio

A_SCHEMA = JsonSchema({"type": "integer", "minimum": 5, "maximum": 1})


async def made_of(one: Exchange, piece: int = 65_536, heard: Heard | None = None, **changes: Any) -> Any:
    runtime = a_runtime(Replay([one], keys=(), piece=piece))
    return await runtime.generate(a_call(ENDPOINT, **changes), heard or Heard())


async def broken(one: Exchange, **changes: Any) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        await made_of(one, **changes)
    return caught.value


@pytest.mark.parametrize("piece", [1, 7, 65_536])
@pytest.mark.parametrize("name", ["014_chat_stream", "014b_chat_stream_true", "014c_chat_stream_null"])
async def test_a_stream_is_told_piece_by_piece_and_returned_whole(name: str, piece: int) -> None:
    heard = Heard()
    completion = await replayed(name, piece=piece, heard=heard)
    assert completion.text == "".join(heard.texts)
    assert len(heard.texts) > 3
    last = json.loads(exchange(name).body.splitlines()[-1])
    assert completion.finish_reason == last["done_reason"]
    assert completion.usage == Usage(input_tokens=last["prompt_eval_count"], output_tokens=last["eval_count"])


async def test_characters_of_many_bytes_survive_being_cut_anywhere() -> None:
    lines = [json.loads(line) for line in exchange("093_stream_emoji").body.splitlines()]
    completion = await replayed("093_stream_emoji", piece=1)
    assert completion.text == "".join(line["message"]["content"] for line in lines)
    assert "🚀" in completion.text


async def test_the_stop_string_is_not_in_the_answer() -> None:
    assert await replayed("017_opt_stop", stop=("sea", "ocean")) == await replayed("017_opt_stop")
    assert (await replayed("017_opt_stop")).text == "The "


@pytest.mark.parametrize("name", ["026o_r_format_contradiction", "043d_r_contradictory_schema_stream"])
async def test_a_200_without_an_answer_is_a_failure(name: str) -> None:
    """Ollama #1, rendered route: a schema that nothing satisfies gives a 200 with a zero body or no line at all."""
    assert isinstance(await failed(name, constraint=None), BrokenStreamError)
    blamed_on_schema = await failed(name)
    assert isinstance(blamed_on_schema, UnsupportedConstraintError)
    assert blamed_on_schema.blames == "nobody"  # one caller's schema must not take the endpoint from the others


async def test_a_200_without_an_answer_is_a_failure_on_the_raw_bytes_too() -> None:
    """Ollama #1, rendered route: nothing but the last chunk."""
    assert isinstance(await failed("043f_raw_contradictory_schema_stream"), BrokenStreamError)
    assert isinstance(await failed("043f_raw_contradictory_schema_stream", constraint=A_SCHEMA), AttemptError)


@pytest.mark.parametrize(
    "name",
    [
        "026o_n_format_contradiction",
        "043d_n_contradictory_schema_stream",
        "043h_n_raw_contradictory_schema_stream",
    ],
)
async def test_the_native_route_says_500_where_the_other_says_nothing(name: str) -> None:
    """Ollama #1, native route."""
    assert isinstance(await failed(name, constraint=A_SCHEMA), UnsupportedConstraintError)


@pytest.mark.parametrize("name", ["043b_r_repeat_guard_stream", "043g_raw_repeat_guard_chat_stream"])
async def test_a_stream_that_the_repeat_guard_cut_is_no_answer(name: str) -> None:
    """Ollama #2, rendered route: after 30 equal tokens the stream ends without `done`; only the model is at fault."""
    words = [says(" x")] * 31  # of the raw recording there is only the end, and /api/generate has another field
    assert b'"done":true' not in exchange(name).body
    error = await broken(answers(*words))
    assert isinstance(error, OutputInvalidError)
    assert (error.reason, error.blames, error.try_next) == ("degenerate", "nobody", True)


async def test_the_native_route_repeats_itself_to_the_limit() -> None:
    """Ollama #2, native route: no guard, a proper end; degeneration is for the caller to see."""
    completion = await replayed("043b_n_repeat_guard_stream")
    assert completion.finish_reason == "length"
    assert completion.text == " x" * 120


async def test_white_space_counts_as_repetition() -> None:
    """Ollama #2: the guard compares tokens without their white space, so an indentation that never ends is one."""
    error = await broken(answers(says("{"), *[says(" "), says("\n")] * 16))
    assert isinstance(error, OutputInvalidError)


async def test_a_few_equal_words_before_a_cut_are_no_loop() -> None:
    assert isinstance(await broken(answers(*[says("no ")] * 29)), BrokenStreamError)
    assert isinstance(await broken(answers(*[says("no ")] * 40, says("end"))), BrokenStreamError)


@pytest.mark.parametrize("status", [200, 500])
async def test_newer_releases_say_that_the_repeat_guard_struck(status: int) -> None:
    """Ollama #2: an error since 0.32.1 (issue 17270), in the stream or instead of it."""
    error = await broken(answers({"error": "prediction aborted, token repeat limit reached"}, status=status))
    assert isinstance(error, OutputInvalidError)
    assert error.reason == "degenerate"


@pytest.mark.parametrize("name", ["045_n_format_json_n12_00", "026g_n_format_empty_schema"])
async def test_json_without_a_schema_is_never_asked_for(name: str) -> None:
    """Ollama #3: the native route answers `format: "json"` and `{}` in prose, so neither is ever sent."""
    with pytest.raises(json.JSONDecodeError):
        json.loads(json.loads(exchange(name).body)["message"]["content"])
    replay = Replay([exchange(name)], keys=())
    await a_runtime(replay).generate(call_of(exchange(name).json, constraint=JsonSchema({})), Heard())
    assert replay.sent["format"] == {"type": ["object", "array", "string", "number", "boolean", "null"]}


@pytest.mark.parametrize(
    "name",
    [
        "030_n_schema_multipleOf",
        "030_r_schema_multipleOf",
        "030_n_schema_not",
        "030_n_schema_if_then",
        "030_n_schema_minProperties",
        "030_r_schema_patternProperties",
    ],
)
async def test_an_answer_may_break_its_schema_and_still_end_well(name: str) -> None:
    """Ollama #4: keywords that it does not know are ignored in silence, so the caller must check."""
    completion = await replayed(name)
    assert completion.finish_reason == "stop"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(completion.text), exchange(name).json["format"])


@pytest.mark.parametrize("route", ["n", "r"])
async def test_json_that_the_token_limit_cut_says_length(route: str) -> None:
    """Ollama #5."""
    for name in (f"040_{route}_schema_num_predict_10", f"040b_{route}_schema_num_predict_10_stream"):
        completion = await replayed(name)
        assert completion.finish_reason == "length"
        with pytest.raises(json.JSONDecodeError):
            json.loads(completion.text)


@pytest.mark.parametrize(
    "name",
    ["053_r_runner_sigkill_stream", "053i_raw_runner_sigkill_midstream", "053j_n_raw_runner_sigkill_midstream"],
)
async def test_an_error_line_within_a_200_is_a_failure(name: str) -> None:
    """Ollama #10: the runner was killed midway; both routes say so in a last line, with a clean last chunk."""
    heard = Heard()
    error = await failed(name, heard=heard)
    assert isinstance(error, BrokenStreamError)
    assert heard.texts


@pytest.mark.parametrize(
    "name",
    ["053_n_runner_sigkill_nonstream", "053_n_runner_sigkill_stream", "053_r_runner_sigkill_nonstream"],
)
async def test_a_runner_killed_before_its_first_token_is_a_failed_server(name: str) -> None:
    """Ollama #10: a 500 then, on both routes; with a schema too, for the text may be about another call (#9)."""
    assert (await failed(name)).outcome == "server_failed"
    assert (await failed(name, constraint=A_SCHEMA)).outcome == "server_failed"


@pytest.mark.parametrize("route", ["n", "r"])
async def test_output_stops_at_the_end_of_the_context_window(route: str) -> None:
    """Ollama #6: with `shift: false` it ends at num_ctx, instead of forgetting its beginning."""
    completion = await replayed(f"042c_{route}_output_past_num_ctx_shift_false")
    assert completion.finish_reason == "length"
    assert completion.usage.output_tokens < 300


@pytest.mark.parametrize(("route", "order"), [("n", ["address", "name"]), ("r", ["name", "address"])])
async def test_keys_come_in_the_order_of_the_route(route: str, order: list[str]) -> None:
    """Ollama #26: native sorts them, rendered keeps the schema's order; we send the order that we were given."""
    one = exchange(f"030_{route}_schema_nested_object")
    replay = Replay([one], keys=("format",))
    completion = await a_runtime(replay).generate(call_of(one.json), Heard())
    assert list(json.loads(completion.text)["person"]) == order
    assert json.dumps(replay.sent["format"]) == json.dumps(one.json["format"])


async def test_a_next_line_character_does_not_cut_a_line() -> None:
    """The client's own reader splits lines there, in the middle of a JSON string; ours does not."""
    completion = await made_of(answers(says("one\u0085two\u2028three\x0bfour"), ends()))
    assert completion.text == "one\u0085two\u2028three\x0bfour"


async def test_a_last_line_without_a_line_end_counts() -> None:
    line = json.dumps(says("Paris") | {"done": True, "done_reason": "stop"}).encode()
    assert (await made_of(Exchange("POST", "/api/chat", {}, 200, (), line))).text == "Paris"


async def test_what_follows_the_end_does_not_count() -> None:
    one = answers(says("Paris"), ends(), says("London"), {"error": "late"})
    for piece in (1, 65_536):
        assert (await made_of(one, piece)).text == "Paris"


async def test_empty_lines_and_counts_that_are_missing_do_no_harm() -> None:
    one = answers(says("Paris"), ends())
    spaced = Exchange(one.method, one.path, one.json, 200, (), one.body.replace(b"\n", b"\n\r\n\n"))
    completion = await made_of(spaced)
    assert (completion.text, completion.usage) == ("Paris", Usage())


async def test_thinking_is_a_sign_of_life_and_no_part_of_the_answer() -> None:
    heard = Heard()
    lines = [says("", thinking="Let me"), says("", thinking=" see."), says("Paris"), ends(eval_count=9)]
    completion = await made_of(answers(*lines), heard=heard)
    assert (completion.text, heard.texts, heard.signs) == ("Paris", ["Paris"], 2)


async def test_thinking_that_eats_the_whole_budget_is_no_answer() -> None:
    """Gateways L23: empty content and `length`."""
    error = await broken(answers(says("", thinking="Let me see."), ends("length")), max_output_tokens=3)
    assert isinstance(error, OutputInvalidError)
    assert error.reason == "truncated"
    assert "3 output tokens" in str(error)


async def test_a_model_may_say_nothing() -> None:
    assert (await made_of(answers(ends()))).text == ""


@pytest.mark.parametrize("name", ["024b_messages_empty_stream", "050e_keep_alive_0_unload_chat"])
async def test_loading_or_unloading_is_no_answer(name: str) -> None:
    error = await failed(name)
    assert isinstance(error, BrokenStreamError)
    assert "did not answer" in str(error)


@pytest.mark.parametrize("reason", [None, "", "tired"])
async def test_an_end_without_a_known_reason_is_a_failure(reason: str | None) -> None:
    assert isinstance(await broken(answers(says("Par"), ends(reason))), BrokenStreamError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b'{"foo":1}\n',
        b"[]\n",
        b"null\n",
        b'"text"\n',
        b'{"message":{"content":"Par"},"done":false}\n{"mod',
        b'{"message":{"content":5},"done":false}\n',
        b'{"message":{"content":"\xff"},"done":false}\n',
        b'{"error":{"message":"x"}}\n',
        b'{"error":"[]"}\n',
    ],
    ids=lambda body: body.decode(errors="replace")[:24] or "empty",
)
async def test_a_200_with_something_else_in_it_is_a_broken_stream(body: bytes) -> None:
    """Ollama, section 5: `fake_200_*` and `fake_stream_*`; some of these make the client raise AttributeError."""
    error = await broken(Exchange("POST", "/api/chat", {}, 200, (("Content-Type", "text/html"),), body))
    assert isinstance(error, BrokenStreamError)
    assert "login" not in str(error)


async def test_a_line_without_end_is_given_up() -> None:
    error = await broken(Exchange("POST", "/api/chat", {}, 200, (), b"x" * (8 * 1024 * 1024 + 1)))
    assert "without end" in str(error)
