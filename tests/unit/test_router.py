"""What a caller sees when models serve, fail, stall and recover. Runtimes are scripted; time jumps."""

from __future__ import annotations

import anyio
import pytest

from router_mcp.domain import (
    Call,
    Capabilities,
    Choices,
    Completion,
    GenerateRequest,
    JsonSchema,
    Listener,
    Message,
    Usage,
)
from router_mcp.errors import (
    BrokenStreamError,
    BusyError,
    ContextTooLongError,
    DeadlineError,
    InvalidArgumentsError,
    ModelMissingError,
    NoRuntimeError,
    OutputInvalidError,
    OverloadedError,
    RejectedError,
    RouterError,
    ServerFailedError,
    UnauthorizedError,
    UnknownTaskError,
    UnsupportedConstraintError,
    WrongServerError,
)
from router_mcp.stream import Attention
from router_mcp.telemetry.base import AttemptEnded, FellBack, Refused
from tests.houses import open_house
from tests.scripted import REFUSES, ScriptedRuntime, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

ASK = GenerateRequest(prompt="Say hello.", task="reasoning")


async def test_the_primary_serves_and_the_answer_says_how() -> None:
    async with open_house() as house:
        result = await house.router.generate(ASK)
    assert (result.text, result.model, result.runtime) == ("hello from here", "big", "gpu")
    assert result.fallback_from == ()
    assert result.finish_reason == "stop"
    assert result.usage.output_tokens == 3
    assert [(a.model, a.outcome) for a in result.receipt.attempts] == [("big", "ok")]
    assert result.receipt.deadline_s == 30


async def test_a_call_without_a_task_gets_the_default_one() -> None:
    async with open_house() as house:
        assert (await house.router.generate(GenerateRequest(prompt="hi"))).task == "reasoning"


@pytest.mark.parametrize(
    "failure",
    [
        ServerFailedError("it failed"),
        BrokenStreamError("it broke"),
        OverloadedError("it is full"),
        UnauthorizedError("no key"),
        ModelMissingError("no model"),
        ContextTooLongError("too long"),
    ],
    ids=lambda error: error.outcome,
)
async def test_a_failed_attempt_moves_to_the_next_model_and_the_answer_says_so(failure: RouterError) -> None:
    async with open_house(gpu=ScriptedRuntime(fails(failure))) as house:  # type: ignore[arg-type] # every param is an AttemptError
        result = await house.router.generate(ASK)
    assert result.model == "small"
    assert result.fallback_from == ("big",)
    assert [a.outcome for a in result.receipt.attempts] == [failure.outcome, "ok"]  # type: ignore[attr-defined] # as above


async def test_a_rejected_request_is_not_tried_elsewhere_and_hurts_nobody() -> None:
    async with open_house(gpu=ScriptedRuntime(fails(RejectedError("refused (400)")))) as house:
        with pytest.raises(RejectedError) as caught:
            await house.router.generate(ASK)
        assert house.laptop.calls == []
        assert house.state("gpu") == "unknown"
    assert caught.value.receipt is not None
    assert [a.outcome for a in caught.value.receipt.attempts] == ["rejected"]


async def test_a_model_that_says_nothing_is_left_for_the_next_and_blamed_for_nothing() -> None:
    async with open_house(gpu=ScriptedRuntime(silence)) as house:
        result = await house.router.generate(ASK)
        assert house.state("gpu") == "healthy"
    assert result.model == "small"


async def silence(call: Call, listener: Listener) -> Completion:
    await anyio.lowlevel.checkpoint()
    return Completion(text="", finish_reason="stop", usage=Usage())


async def test_a_stream_cut_midway_is_served_by_the_fallback_unspliced() -> None:
    gpu = ScriptedRuntime(fails(BrokenStreamError("cut"), after_text="half of an ans"))
    async with open_house(gpu=gpu) as house:
        assert (await house.router.generate(ASK)).text == "hello from here"


async def test_a_hung_primary_leaves_the_fallback_its_share_of_the_deadline() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs())) as house:
        before = anyio.current_time()
        result = await house.router.generate(ASK)
        assert anyio.current_time() - before == pytest.approx(15, abs=0.1)
    assert result.model == "small"
    assert [a.outcome for a in result.receipt.attempts] == ["stalled", "ok"]
    assert house.gpu.cancelled == 1


async def test_a_stream_that_falls_silent_is_given_up_long_before_the_deadline() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs(after_text="so "))) as house:
        before = anyio.current_time()
        result = await house.router.generate(ASK)
        assert 8 <= anyio.current_time() - before <= 10.1
    assert result.model == "small"


async def test_a_long_answer_that_keeps_coming_may_use_the_whole_deadline() -> None:
    gpu = ScriptedRuntime(says(" ".join(["word"] * 28), each_s=1.0))
    async with open_house(gpu=gpu) as house:
        result = await house.router.generate(ASK)
    assert result.model == "big"
    assert result.finish_reason == "stop"


async def test_at_the_deadline_the_text_so_far_comes_back() -> None:
    gpu = ScriptedRuntime(says(" ".join(["word"] * 99), each_s=1.0))
    async with open_house(gpu=gpu) as house:
        before = anyio.current_time()
        result = await house.router.generate(ASK)
        assert anyio.current_time() - before == pytest.approx(30, abs=0.1)
        assert house.state("gpu") == "unknown", "a long answer is no sign of ill health"
    assert result.finish_reason == "deadline"
    assert result.text.startswith("word word")
    assert result.model == "big"
    assert result.usage.output_tokens == 30
    assert result.usage.input_tokens > 0, "the runtime had not counted yet, so it is what it must be at the least"
    assert "lower bound" in result.receipt.notes[0]


async def test_when_everything_hangs_the_call_ends_at_its_deadline() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs()), laptop=ScriptedRuntime(hangs())) as house:
        before = anyio.current_time()
        with pytest.raises(DeadlineError) as caught:
            await house.router.generate(ASK)
        assert anyio.current_time() - before == pytest.approx(30, abs=0.1)
    assert caught.value.code == "deadline"
    assert "30 s" in str(caught.value)


async def test_the_caller_may_shorten_the_deadline_but_not_lengthen_it() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs()), laptop=ScriptedRuntime(hangs())) as house:
        for asked, given in ((3.0, 3.0), (500.0, 30.0)):
            before = anyio.current_time()
            with pytest.raises(DeadlineError):
                await house.router.generate(GenerateRequest(prompt="hi", timeout_s=asked))
            assert anyio.current_time() - before == pytest.approx(given, abs=0.1)


async def test_an_impatient_caller_does_not_make_a_slow_model_unhealthy() -> None:
    slow = ScriptedRuntime(says("late", after_s=3))
    async with open_house(gpu=slow, laptop=slow) as house:
        with pytest.raises(DeadlineError):
            await house.router.generate(GenerateRequest(prompt="hi", timeout_s=0.5))
        assert house.state("gpu") == "unknown"


async def test_when_nothing_can_be_reached_the_error_names_every_cause_with_its_remedy() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES), laptop=ScriptedRuntime(REFUSES)) as house:
        with pytest.raises(NoRuntimeError) as caught:
            await house.router.generate(ASK)
    assert str(caught.value).count("Start it.") == 2
    assert caught.value.retryable


async def test_a_dead_endpoint_is_not_paid_for_again_within_its_window() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES)) as house:
        for _ in range(10):
            assert (await house.router.generate(ASK)).model == "small"
        assert len(house.gpu.calls) == 1
        await anyio.sleep(5.1)
        await house.router.generate(ASK)
        assert len(house.gpu.calls) == 2


async def test_one_trial_at_a_time_tries_an_endpoint_that_failed() -> None:
    gpu = ScriptedRuntime(in_turn(REFUSES, says("back again", after_s=1)))
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK)
        await anyio.sleep(5.1)
        served: list[str] = []

        async def call() -> None:
            served.append((await house.router.generate(ASK)).model)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(call)
        assert sorted(served) == ["big", "small", "small", "small", "small"]
        assert (await house.router.generate(ASK)).model == "big"


async def test_when_nothing_is_well_the_least_bad_is_still_tried() -> None:
    gpu, laptop = ScriptedRuntime(REFUSES), ScriptedRuntime(in_turn(REFUSES, says("here again")))
    async with open_house(gpu=gpu, laptop=laptop) as house:
        with pytest.raises(NoRuntimeError):
            await house.router.generate(ASK)
        assert (await house.router.generate(ASK)).text == "here again"


async def test_a_missing_model_demotes_that_model_and_not_its_host() -> None:
    gpu = ScriptedRuntime(by_model={"big": fails(ModelMissingError("big is missing"))})
    async with open_house(gpu=gpu) as house:
        assert (await house.router.generate(ASK)).model == "small"
        assert (await house.router.generate(GenerateRequest(prompt="hi", model="other"))).model == "other"
        assert (await house.router.generate(ASK)).model == "small"
        assert [call.model for call in gpu.calls] == ["big", "other"]


async def test_a_replica_is_tried_before_another_model() -> None:
    gpu = ScriptedRuntime(by_endpoint={"http://gpu-1": REFUSES})
    async with open_house(gpu=gpu, replicas=3) as house:
        for number in range(20):
            result = await house.router.generate(GenerateRequest(prompt=f"prompt {number}"))
            assert result.model == "big"
            assert result.fallback_from == ()
        assert sum(call.endpoint.url == "http://gpu-1" for call in gpu.calls) == 1


async def test_prompts_with_the_same_beginning_go_to_the_same_replica() -> None:
    async with open_house(replicas=4) as house:
        for tail in range(6):
            await house.router.generate(GenerateRequest(prompt="x" * 2000 + str(tail)))
        assert len({call.endpoint.url for call in house.gpu.calls}) == 1
        for number in range(40):
            await house.router.generate(GenerateRequest(prompt=f"{number} different"))
        assert len({call.endpoint.url for call in house.gpu.calls}) == 4


async def test_a_loaded_replica_loses_its_prompts_to_an_idle_one() -> None:
    async with open_house(gpu=ScriptedRuntime(says("slow", after_s=5)), replicas=2) as house:
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(house.router.generate, ASK)
        by_replica = [sum(call.endpoint.url == f"http://gpu-{n}" for call in house.gpu.calls) for n in (1, 2)]
    assert min(by_replica) >= 3


async def test_a_full_endpoint_makes_callers_wait_and_then_serves_them() -> None:
    async with open_house(gpu=ScriptedRuntime(says("ok", after_s=1)), concurrency=2) as house:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(house.router.generate, ASK)
        assert len(house.gpu.calls) == 6
        assert house.gpu.most_running == 2
        assert house.laptop.calls == []


async def test_a_full_queue_sends_callers_on_and_then_says_busy() -> None:
    slow = ScriptedRuntime(says("ok", after_s=5))
    busy: list[BusyError] = []
    async with open_house(gpu=slow, laptop=slow, concurrency=1, queue=1) as house:

        async def call() -> None:
            try:
                await house.router.generate(ASK)
            except BusyError as error:
                busy.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(call)
    assert len(busy) == 6
    assert all(error.retry_after_s and error.retryable for error in busy)


async def test_an_endpoint_that_died_under_a_queue_costs_the_queue_no_tries() -> None:
    gpu = ScriptedRuntime(in_turn(fails(ServerFailedError("died"))))
    async with open_house(gpu=gpu, concurrency=1) as house:
        served: list[str] = []

        async def call() -> None:
            served.append((await house.router.generate(ASK)).model)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call)
        assert served == ["small"] * 8
        assert len(gpu.calls) == 1


async def test_a_429_is_waited_out_when_there_is_no_other_model() -> None:
    laptop = ScriptedRuntime(in_turn(fails(OverloadedError("wait", retry_after_s=4)), says("now")))
    async with open_house(laptop=laptop) as house:
        request = GenerateRequest(prompt="hi", model="small")
        with pytest.raises(BusyError) as caught:
            await house.router.generate(request)
        assert caught.value.retry_after_s == 4
        before = anyio.current_time()
        assert (await house.router.generate(request)).text == "now"
        assert anyio.current_time() - before == pytest.approx(4, abs=0.1)
        assert house.state("laptop") != "unhealthy"


async def test_who_waited_out_a_429_still_waits_for_a_free_slot() -> None:
    asked = OverloadedError("asks to wait (429).", retry_after_s=2)
    laptop = ScriptedRuntime(in_turn(fails(asked), says("hello from here", after_s=3)))
    pinned = GenerateRequest(prompt="hi", model="small")
    async with open_house(laptop=laptop, concurrency=1) as house:
        with pytest.raises(BusyError):
            await house.router.generate(pinned)
        before = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(house.router.generate, pinned)
        assert anyio.current_time() - before == pytest.approx(2 + 3 + 3, abs=0.1)
        assert laptop.most_running == 1


async def test_cancelling_a_call_cancels_the_runtime_and_frees_its_slot() -> None:
    async with open_house(gpu=ScriptedRuntime(hangs()), concurrency=1) as house:
        with anyio.move_on_after(1):
            await house.router.generate(ASK)
        assert house.gpu.cancelled == 1
        assert house.router.book.running(house.endpoint("gpu")) == 0
        assert house.state("gpu") == "unknown", "whoever goes away proves nothing"


async def test_a_prompt_too_long_for_the_primary_goes_to_the_one_that_fits() -> None:
    async with open_house() as house:
        result = await house.router.generate(GenerateRequest(prompt="word " * 9000, task="short-first"))
    assert result.model == "big"
    assert result.fallback_from == ("small",)
    assert any("4096" in note for note in result.receipt.notes)


async def test_a_prompt_too_long_for_all_is_an_error_with_the_numbers() -> None:
    async with open_house() as house:
        with pytest.raises(ContextTooLongError) as caught:
            await house.router.generate(GenerateRequest(prompt="word " * 40_000))
        assert house.gpu.calls == []
    assert "40000" in str(caught.value)
    assert "32768" in str(caught.value)


async def test_the_embedding_task_names_the_server_and_tool_to_use() -> None:
    async with open_house() as house:
        with pytest.raises(WrongServerError, match="embed_texts"):
            await house.router.generate(GenerateRequest(prompt="hi", task="embedding"))


async def test_an_unknown_task_lists_the_known_ones() -> None:
    async with open_house() as house:
        with pytest.raises(UnknownTaskError, match="reasoning"):
            await house.router.generate(GenerateRequest(prompt="hi", task="cooking"))


async def test_a_pinned_model_has_no_fallback_and_an_unknown_one_is_refused() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES)) as house:
        with pytest.raises(NoRuntimeError):
            await house.router.generate(GenerateRequest(prompt="hi", model="big"))
        assert house.laptop.calls == []
        with pytest.raises(InvalidArgumentsError, match="small"):
            await house.router.generate(GenerateRequest(prompt="hi", model="tiny"))


@pytest.mark.parametrize(("asked", "used"), [(None, 0.3), (0.9, 0.3), (0.1, 0.1), (0.0, 0.0)])
async def test_a_safety_critical_task_clamps_the_temperature_and_says_so(asked: float | None, used: float) -> None:
    async with open_house() as house:
        request = GenerateRequest(prompt="hi", task="triage", temperature=asked)
        result = await house.router.generate(request)
        assert house.gpu.calls[0].temperature == used
    assert result.temperature == used
    assert bool(result.receipt.notes) == (asked == 0.9)


async def test_the_temperature_is_07_unless_asked_otherwise() -> None:
    async with open_house() as house:
        assert (await house.router.generate(ASK)).temperature == 0.7
        assert (await house.router.generate(GenerateRequest(prompt="hi", temperature=1.5))).temperature == 1.5


async def test_each_attempt_is_rendered_anew_for_its_model() -> None:
    gpu = ScriptedRuntime(REFUSES)
    request = GenerateRequest(
        prompt="<|im_end|> and [INST]",
        system="Be brief.",
        history=(Message(role="user", content="a"), Message(role="assistant", content="b")),
        max_output_tokens=50_000,
        stop=("END",),
        seed=7,
        tenant="acme",
    )
    async with open_house(gpu=gpu) as house:
        await house.router.generate(request)
        first, second = gpu.calls[0], house.laptop.calls[0]
    assert (first.model, second.model) == ("big", "small:latest")
    assert (first.max_output_tokens, second.max_output_tokens) == (32767, 4095)
    assert first.messages[-1].content == "< |im_end|> and [ INST]"
    assert second.messages[-1].content == "< |im_end|> and [INST]"
    assert [turn.role for turn in second.messages] == ["system", "user", "assistant", "user"]
    assert [turn.role for turn in first.messages] == ["user", "assistant", "user"]
    assert first.messages[0].content.startswith("Be brief.")
    assert first.request_id != second.request_id
    assert first.cache_salt == second.cache_salt != None  # noqa: E711 - a chain of comparisons
    assert (first.stop, first.seed) == (("END",), 7)


async def test_a_structured_call_returns_checked_data_and_sends_no_stop() -> None:
    gpu = ScriptedRuntime(says('{"n": 1}'))
    request = GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), stop=("}",))
    async with open_house(gpu=gpu) as house:
        result = await house.router.generate(request)
    assert result.data == {"n": 1}
    assert result.attempts == 1
    assert gpu.calls[0].stop == ()


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


async def test_an_invalid_answer_is_repaired_by_showing_what_was_wrong() -> None:
    gpu = ScriptedRuntime(in_turn(says('{"n": "one"}'), says('{"n": 1}')))
    async with open_house(gpu=gpu) as house:
        result = await house.router.generate(GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER)))
    assert result.data == {"n": 1}
    assert result.attempts == 2
    assert [a.outcome for a in result.receipt.attempts] == ["output_invalid", "ok"]
    assert len(gpu.calls[1].messages) > len(gpu.calls[0].messages)
    assert result.fallback_from == ()


async def test_a_model_that_stays_wrong_is_left_for_the_next() -> None:
    laptop = ScriptedRuntime(says('{"n": 2}'))
    async with open_house(gpu=ScriptedRuntime(says("I would rather not.")), laptop=laptop) as house:
        result = await house.router.generate(GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER)))
        assert house.state("gpu") == "healthy", "a bad answer is not bad health"
    assert result.data == {"n": 2}
    assert result.attempts == 3
    assert len(laptop.calls[0].messages) == len(house.gpu.calls[0].messages) + 1, "no repair turns of another model"


async def test_when_no_model_satisfies_the_constraint_it_is_an_error() -> None:
    wrong = ScriptedRuntime(says('{"n": "one"}'))
    async with open_house(gpu=wrong, laptop=wrong) as house:
        with pytest.raises(OutputInvalidError) as caught:
            await house.router.generate(GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER)))
    assert caught.value.code == "output_invalid"


async def test_a_truncated_answer_gets_a_larger_limit_on_the_second_try() -> None:
    gpu = ScriptedRuntime(in_turn(says('{"n": ', finish="length"), says('{"n": 1}')))
    async with open_house(gpu=gpu) as house:
        request = GenerateRequest(prompt="n", constraint=JsonSchema(NUMBER), max_output_tokens=10)
        await house.router.generate(request)
    assert [call.max_output_tokens for call in gpu.calls] == [10, 20]


async def test_a_constraint_goes_to_a_model_whose_runtime_can_enforce_it() -> None:
    gpu = ScriptedRuntime(capabilities=Capabilities(choices=False))
    laptop = ScriptedRuntime(says('"yes"'))
    constraint = Choices(("yes", "no"))
    async with open_house(gpu=gpu, laptop=laptop) as house:
        assert (await house.router.generate(GenerateRequest(prompt="?", constraint=constraint))).model == "small"
        assert gpu.calls == []
    unable = ScriptedRuntime(capabilities=Capabilities(choices=False))
    async with open_house(gpu=unable, laptop=unable) as house:
        with pytest.raises(UnsupportedConstraintError):
            await house.router.generate(GenerateRequest(prompt="?", constraint=constraint))


async def test_whoever_watches_hears_of_attempts_fallbacks_and_refusals() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES), laptop=ScriptedRuntime(REFUSES)) as house:
        with pytest.raises(NoRuntimeError):
            await house.router.generate(ASK)
    ended = [event for event in house.events if isinstance(event, AttemptEnded)]
    assert [event.error.outcome if event.error else None for event in ended] == ["unreachable", "unreachable"]
    assert [(e.model, e.to) for e in house.events if isinstance(e, FellBack)] == [("big", "small")]
    assert [e.error.code for e in house.events if isinstance(e, Refused)] == ["backend_unavailable"]


async def test_whoever_watches_hears_of_a_call_that_begins_with_a_fallback_and_why() -> None:
    async with open_house(gpu=ScriptedRuntime(REFUSES)) as house:
        await house.router.generate(ASK)
        house.events.clear()
        await house.router.generate(ASK)
        assert [e for e in house.events if isinstance(e, FellBack)] == [
            FellBack(task="reasoning", model="big", to="small", reason="unhealthy")
        ]
        house.events.clear()
        await house.router.generate(GenerateRequest(prompt="hi", model="small"))
        assert not [e for e in house.events if isinstance(e, FellBack)], "a pinned model is nobody's fallback"
        long = GenerateRequest(prompt="word " * 5000, task="short-first")
        with pytest.raises(NoRuntimeError):
            await house.router.generate(long)
        assert [e.reason for e in house.events if isinstance(e, FellBack)] == ["context_too_long"]


async def test_a_caller_who_waits_can_be_told_where_the_call_is() -> None:
    attention = Attention()
    heard: list[str] = []
    attention.on_text, attention.on_restart = heard.append, heard.append
    gpu = ScriptedRuntime(fails(BrokenStreamError("cut"), after_text="half"))
    async with open_house(gpu=gpu) as house:
        await house.router.generate(ASK, attention)
    assert heard[0] == "half"
    assert heard[1].startswith("big: ")
    assert "".join(heard[2:]) == "hello from here"
    assert attention.tokens == 4


async def test_a_reload_keeps_health_and_what_is_running() -> None:
    async with open_house(gpu=ScriptedRuntime(in_turn(REFUSES, says("slow", after_s=5)))) as house:
        await house.router.generate(ASK)
        assert house.state("gpu") == "unhealthy"
        house.router.adopt(house.policy(concurrency=9))
        assert house.state("gpu") == "unhealthy"
        assert not house.gpu.closed
    assert house.gpu.closed
