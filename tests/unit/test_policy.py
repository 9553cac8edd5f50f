"""Which models may serve a call, in which order, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.config.policy_file import PolicyFile
from router_mcp.domain import (
    Capabilities,
    Choices,
    Constraint,
    Endpoint,
    GenerateRequest,
    Grammar,
    JsonSchema,
    Message,
    Regex,
    State,
)
from router_mcp.errors import InvalidArgumentsError, UnknownTaskError, WrongServerError
from router_mcp.health import Standing
from router_mcp.policy import (
    Plan,
    Step,
    endpoints_of,
    facts_of,
    make_plan,
    output_limit,
    steps_of,
    task_of,
    temperature_of,
)
from router_mcp.ranks import DOUBTFUL, SHORT_WAIT_S, Ranks, grouped, rank_of
from tests.policies import changed, load

POLICY = load(
    changed(
        ('["http://127.0.0.1:8000"]', '["http://gpu-1", "http://gpu-2"]'),
        (
            "    models: [big, small]",
            "    models: [big, small]\n"
            "    max_output_tokens: 2000\n"
            "  triage: {models: [small, big], safety_critical: true}\n"
            "  cold: {models: [big], temperature: 0.1}\n"
            "  wild: {models: [big], safety_critical: true, temperature: 1.5}",
        ),
    )
)
GPU_1, GPU_2, LAPTOP = (
    Endpoint(runtime=name, url=url)
    for name, url in (
        ("gpu", "http://gpu-1"),
        ("gpu", "http://gpu-2"),
        ("laptop", "http://127.0.0.1:11434"),
    )
)
WELL = Standing(state="healthy")
TRIAL = Standing(state="unhealthy", error="it was cut off.")
CLOSED = Standing(state="unhealthy", open=False, error="it was cut off.")
DEMOTED = Standing(state="demoted", open=False, error="it is gone.")
RECOVERING = Standing(state="recovering")
BUSY = Standing(state="healthy", waiting_s=SHORT_WAIT_S)
FULL = Standing(state="healthy", waiting_s=SHORT_WAIT_S + 0.1)
UNPROVEN = Standing(state="healthy", open=False)


def plan(
    request: GenerateRequest | None = None,
    *,
    task: str = "reasoning",
    policy: PolicyFile = POLICY,
    standing: dict[Endpoint, Standing] | None = None,
    capabilities: dict[str, Capabilities] | None = None,
    input_tokens: int | None = None,
) -> Plan:
    def steps(model: str, role: str, canary: bool) -> tuple[Step, ...]:
        replicas = endpoints_of(policy, policy.models[model].runtime)
        stands = {endpoint: (standing or {}).get(endpoint, WELL) for endpoint in replicas}
        ranks = Ranks({endpoint.url: rank_of(each) for endpoint, each in stands.items()})
        groups = grouped(replicas, ranks, stands.__getitem__)
        return steps_of(model, role, groups, canary=canary)

    return make_plan(
        policy,
        facts_of(request or GenerateRequest(prompt="hi"), task, input_tokens),
        lambda runtime: (capabilities or {}).get(runtime, Capabilities()),
        steps,
    )


def route(made: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(step.model, tuple(endpoint.url.rsplit("/", 1)[1] for endpoint in step.endpoints)) for step in made.steps]


def test_a_call_without_a_task_means_the_default_one() -> None:
    assert task_of(POLICY, None) == "reasoning"
    assert task_of(POLICY, "triage") == "triage"


def test_an_unknown_task_is_refused_with_the_nearest_and_all_there_are() -> None:
    with pytest.raises(UnknownTaskError) as caught:
        task_of(POLICY, "reasonning")
    assert str(caught.value) == (
        "There is no task 'reasonning'. Did you mean 'reasoning'? There are: reasoning, triage, cold, wild, embedding."
    )
    with pytest.raises(UnknownTaskError, match=r"There is no task ''\. There are: "):
        task_of(POLICY, "")


def test_an_error_does_not_repeat_a_callers_novel() -> None:
    with pytest.raises(UnknownTaskError) as unknown_task:
        task_of(POLICY, "x" * 10_000)
    with pytest.raises(InvalidArgumentsError) as unknown_model:
        plan(GenerateRequest(prompt="hi", model="x" * 10_000))
    assert max(len(str(unknown_task.value)), len(str(unknown_model.value))) < 300


def test_a_task_of_the_embeddings_server_names_the_tools_to_use() -> None:
    with pytest.raises(WrongServerError, match=r"embed_texts or rank_texts .*`embeddings-mcp serve`"):
        task_of(POLICY, "embedding")


@pytest.mark.parametrize(
    ("task", "asked", "used"),
    [
        ("reasoning", None, 0.7),
        ("reasoning", 0.0, 0.0),
        ("reasoning", 2.0, 2.0),
        ("cold", None, 0.1),
        ("cold", 0.9, 0.9),
        ("triage", None, 0.3),
        ("triage", 0.2, 0.2),
        ("triage", 0.3, 0.3),
        ("triage", 0.31, 0.3),
        ("wild", None, 0.3),
    ],
)
def test_the_temperature_is_the_callers_else_the_tasks_else_the_default_and_clamped_where_it_must_be(
    task: str, asked: float | None, used: float
) -> None:
    assert temperature_of(POLICY, task, asked)[0] == used


def test_a_caller_is_told_of_a_clamp_when_it_had_asked_for_more() -> None:
    note = "Temperature 0.9 was clamped to 0.3: task 'triage' is safety-critical."
    assert temperature_of(POLICY, "triage", 0.9) == (0.3, note)
    assert temperature_of(POLICY, "triage", 0.3) == (0.3, None)
    assert temperature_of(POLICY, "triage", None) == (0.3, None)


def test_the_output_limit_is_the_callers_else_the_tasks_else_the_default() -> None:
    assert output_limit(POLICY, "reasoning", 7) == 7
    assert output_limit(POLICY, "reasoning", None) == 2000
    assert output_limit(POLICY, "triage", None) == 1024


def test_a_well_plan_is_the_tasks_own_order() -> None:
    made = plan()
    assert route(made) == [("big", ("gpu-1", "gpu-2")), ("small", ("127.0.0.1:11434",))]
    assert [step.runtime for step in made.steps] == ["gpu", "laptop"]
    assert made.skipped == ()
    assert made.task == "reasoning"
    assert route(plan(task="triage")) == [("small", ("127.0.0.1:11434",)), ("big", ("gpu-1", "gpu-2"))]


@pytest.mark.parametrize(
    ("standing", "order"),
    [
        ({GPU_1: TRIAL}, [("big", ("gpu-1", "gpu-2")), ("small", ("127.0.0.1:11434",))]),
        ({GPU_1: RECOVERING}, [("big", ("gpu-1", "gpu-2")), ("small", ("127.0.0.1:11434",))]),
        ({GPU_1: CLOSED}, [("big", ("gpu-2",)), ("small", ("127.0.0.1:11434",)), ("big", ("gpu-1",))]),
        ({GPU_1: CLOSED, GPU_2: CLOSED}, [("small", ("127.0.0.1:11434",)), ("big", ("gpu-1", "gpu-2"))]),
        ({GPU_1: DEMOTED, GPU_2: CLOSED}, [("small", ("127.0.0.1:11434",)), ("big", ("gpu-2",)), ("big", ("gpu-1",))]),
        (
            {GPU_1: DEMOTED, LAPTOP: DEMOTED},
            [("big", ("gpu-2",)), ("big", ("gpu-1",)), ("small", ("127.0.0.1:11434",))],
        ),
        (
            {GPU_1: BUSY, GPU_2: CLOSED, LAPTOP: CLOSED},
            [("big", ("gpu-1",)), ("big", ("gpu-2",)), ("small", ("127.0.0.1:11434",))],
        ),
        (
            {GPU_1: FULL, GPU_2: DEMOTED, LAPTOP: FULL},
            [("big", ("gpu-2",)), ("big", ("gpu-1",)), ("small", ("127.0.0.1:11434",))],
        ),
        ({GPU_1: UNPROVEN, GPU_2: CLOSED}, [("small", ("127.0.0.1:11434",)), ("big", ("gpu-1",)), ("big", ("gpu-2",))]),
    ],
    ids=[
        "one on trial is used",
        "one that recovers is used",
        "a closed replica comes after the fallback",
        "a closed runtime comes after the fallback",
        "a demoted one comes last",
        "equally ill ones keep the task's order",
        "a short wait comes before what failed",
        "a long wait comes after what is demoted",
        "one that is being tried by another comes before what failed",
    ],
)
def test_health_moves_replicas_behind_others(
    standing: dict[Endpoint, Standing], order: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert route(plan(standing=standing)) == order


def test_demoted_means_last_and_not_gone() -> None:
    made = plan(standing=dict.fromkeys((GPU_1, GPU_2, LAPTOP), DEMOTED))
    assert [step.model for step in made.steps] == ["big", "small"]
    assert {step.state for step in made.steps} == {"demoted"}


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (WELL, "primary of the task; healthy"),
        (Standing(state="unknown"), "primary of the task; unknown"),
        (UNPROVEN, "primary of the task; healthy, one call at a time for now"),
        (TRIAL, "primary of the task; unhealthy, may be tried again: it was cut off."),
        (CLOSED, "primary of the task; unhealthy, left alone for now: it was cut off."),
        (DEMOTED, "primary of the task; demoted, left alone for now: it is gone."),
        (Standing(state="healthy", waiting_s=0.2), "primary of the task; asked to be left alone for 1 s"),
        (Standing(state="demoted", waiting_s=29.5, error="x"), "primary of the task; asked to be left alone for 30 s"),
    ],
)
def test_a_step_says_why_it_stands_where_it_stands(standing: Standing, reason: str) -> None:
    made = plan(standing={GPU_1: standing, GPU_2: standing})
    assert [step.reason for step in made.steps if step.model == "big"] == [reason]
    assert [step.reason for step in made.steps if step.model == "small"] == ["fallback 1 of the task; healthy"]


def test_a_recovering_step_without_an_error_to_show_says_so_too() -> None:
    made = plan(standing={GPU_1: Standing(state="recovering", error="it was gone."), GPU_2: WELL})
    assert made.steps[0].reason == "primary of the task; recovering, may be tried again: it was gone."


def test_a_pinned_model_is_all_there_is() -> None:
    made = plan(GenerateRequest(prompt="hi", model="small"))
    assert route(made) == [("small", ("127.0.0.1:11434",))]
    assert made.steps[0].reason == "pinned by the caller; healthy"


def test_a_pinned_model_that_is_not_in_the_catalog_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        InvalidArgumentsError, match=r"no model 'smal' in the catalog\. Did you mean 'small'\? There are: "
    ):
        plan(GenerateRequest(prompt="hi", model="smal"))


@pytest.mark.parametrize(
    ("constraint", "capability"),
    [
        (JsonSchema({}), "json_schema"),
        (Choices(("a",)), "choices"),
        (Regex("a"), "regex"),
        (Grammar("root ::= 'a'"), "grammar"),
    ],
    ids=["json_schema", "choices", "regex", "grammar"],
)
def test_a_model_whose_runtime_lacks_the_capability_is_skipped_with_the_reason(
    constraint: Constraint, capability: str
) -> None:
    lacking: dict[str, Any] = {capability: False}
    request = GenerateRequest(prompt="hi", constraint=constraint)
    made = plan(request, capabilities={"laptop": Capabilities(**lacking)})
    assert [step.model for step in made.steps] == ["big"]
    assert [(skip.model, skip.code) for skip in made.skipped] == [("small", "unsupported_constraint")]
    assert made.skipped[0].reason == f"ollama cannot enforce a {capability} constraint"
    assert len(plan(request).steps) == 2


def test_a_call_without_a_constraint_asks_for_no_capability() -> None:
    nothing = Capabilities(json_schema=False, choices=False, regex=False, grammar=False)
    assert len(plan(capabilities={"gpu": nothing, "laptop": nothing}).steps) == 2


def test_a_prompt_that_cannot_fit_goes_to_the_model_that_it_fits_with_the_numbers() -> None:
    made = plan(GenerateRequest(prompt="word " * 5000))
    assert [step.model for step in made.steps] == ["big"]
    assert [(skip.model, skip.code) for skip in made.skipped] == [("small", "context_too_long")]
    assert made.skipped[0].reason == "the prompt has at least 5000 tokens and small takes 4096, the answer included"


def test_what_was_said_before_counts_too() -> None:
    part = "word " * 2000
    long = GenerateRequest(prompt=part, system=part, history=(Message(role="user", content=part),))
    assert [skip.model for skip in plan(long).skipped] == ["small"]
    assert plan(GenerateRequest(prompt=part, system=part)).skipped == ()


@pytest.mark.parametrize(("tokens", "fits"), [(0, True), (4095, True), (4096, False), (5000, False)])
def test_a_known_number_of_tokens_is_believed_and_must_leave_room_for_an_answer(tokens: int, fits: bool) -> None:
    made = plan(GenerateRequest(prompt="word " * 9000), input_tokens=tokens)
    assert (made.skipped == ()) == fits


@pytest.mark.parametrize(("words", "fits"), [(4095, True), (4096, False)])
def test_a_counted_prompt_must_leave_room_for_an_answer_too(words: int, fits: bool) -> None:
    assert (plan(GenerateRequest(prompt="word " * words)).skipped == ()) == fits


def test_an_embedded_runtime_has_one_endpoint_of_its_own() -> None:
    policy = load(changed(("kind: vllm", "kind: embedded"), ('    endpoints: ["http://127.0.0.1:8000"]\n', "")))
    assert endpoints_of(policy, "gpu") == (Endpoint(runtime="gpu", url="embedded:gpu"),)
    assert endpoints_of(POLICY, "gpu") == (GPU_1, GPU_2)


_STATES: tuple[State, ...] = ("healthy", "unknown", "unhealthy", "demoted", "recovering")
_STANDINGS = st.builds(
    Standing,
    state=st.sampled_from(_STATES),
    open=st.booleans(),
    waiting_s=st.sampled_from([0.0, 1.0, 60.0]),
    error=st.just("it failed."),
)


@given(st.fixed_dictionaries({GPU_1: _STANDINGS, GPU_2: _STANDINGS, LAPTOP: _STANDINGS}))
def test_every_replica_is_in_the_plan_once_and_never_before_one_that_is_better(
    standing: dict[Endpoint, Standing],
) -> None:
    made = plan(standing=standing)
    order = [endpoint for step in made.steps for endpoint in step.endpoints]
    assert sorted(order, key=str) == sorted((GPU_1, GPU_2, LAPTOP), key=str)
    ranks = [rank_of(standing[endpoint]) for endpoint in order]
    assert ranks == sorted(ranks)
    for step in made.steps:
        assert {rank_of(standing[endpoint]) for endpoint in step.endpoints} == {step.rank}
        assert step.reason.endswith((step.state, " s", "now", "."))
    assert made == plan(standing=standing)


@given(_STANDINGS)
def test_what_is_doubtful_is_what_failed_or_asks_for_long(standing: Standing) -> None:
    free = standing.open and not standing.waiting_s
    doubtful = standing.waiting_s > SHORT_WAIT_S or standing.state == "demoted"
    doubtful = doubtful or (not free and standing.state in {"unhealthy", "recovering"})
    assert (rank_of(standing) >= DOUBTFUL) == doubtful


def test_the_facts_of_a_request_are_counted_only_when_asked() -> None:
    ask: Callable[[int], int | None] = facts_of(GenerateRequest(prompt="word " * 10), "reasoning").input_tokens
    assert ask(10) == 10
    assert ask(11) is None
