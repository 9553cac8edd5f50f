"""The cases of the live suite, against what a real Ollama once said; `r` is its rendered route, `n` the native one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from router_mcp.domain import Endpoint
from router_mcp.runtimes.base import Runtime
from tests.contract import ollama_cases as cases
from tests.contract.ollama_traffic import ENDPOINT, a_runtime, exchange
from tests.contract.replay import Replay

pytestmark = pytest.mark.anyio

Case = Callable[[Runtime, Endpoint, str], Awaitable[None]]

STATE = ("003_get_healthz", "004_get_version", "005_get_tags")
RECORDED: tuple[tuple[Case, tuple[str, ...]], ...] = (
    (cases.answers_and_says_how_it_ended, ("014_chat_stream",)),
    (cases.answers_and_says_how_it_ended, ("053c_n_runner_killed_idle_next",)),
    (cases.stops_at_the_token_limit, ("018_opt_num_predict_5",)),
    (cases.leaves_the_stop_string_out, ("017_opt_stop",)),
    (cases.says_the_same_for_the_same_seed, ("016_opt_seed_a", "016_opt_seed_b_repeat")),
    (cases.keeps_to_a_schema, ("030_r_schema_nested_object",)),
    (cases.keeps_to_a_schema, ("030_n_schema_nested_object",)),
    (cases.does_not_have_every_model, ("020b_unknown_model_chat_stream",)),
    (cases.refuses_a_prompt_that_does_not_fit, ("041f_r_truncate_false_shift_false_stream",)),
    (cases.refuses_a_prompt_that_does_not_fit, ("041f_n_truncate_false_shift_false_stream",)),
    (cases.refuses_a_schema_that_it_cannot_take, ("026n_r_format_bad_schema_stream",)),
    (cases.refuses_a_schema_that_it_cannot_take, ("026n_n_format_bad_schema_stream",)),
    (cases.gives_up_on_a_schema_that_nothing_satisfies, ("043d_r_contradictory_schema_stream",)),
    (cases.gives_up_on_a_schema_that_nothing_satisfies, ("043d_n_contradictory_schema_stream",)),
    (cases.says_what_it_has_and_what_is_loaded, ("013_chat_nonstream_warm", *STATE, "012_get_ps_after_load")),
    (
        cases.forgets_everything_when_told,
        (
            "013_chat_nonstream_warm",
            "050n_ps",
            "050e_keep_alive_0_unload_chat",
            "050f_ps_after_unload",
            *STATE,
            "006_get_ps_before_load",
        ),
    ),
)


@pytest.mark.parametrize(("case", "names"), RECORDED, ids=[f"{case.__name__}-{names[0]}" for case, names in RECORDED])
async def test_a_recorded_ollama(case: Case, names: tuple[str, ...]) -> None:
    replay = Replay([exchange(name) for name in names], keys=("format",))
    await case(a_runtime(replay), ENDPOINT, "smollm2:135m")
    assert replay.left == []


def test_every_case_has_a_recording() -> None:
    assert {case for case, _ in RECORDED} == set(cases.CASES)
