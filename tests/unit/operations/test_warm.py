"""Prompts are read before anyone waits for them: where callers go, salted as they are, and beside nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp import affinity
from router_mcp.config import default_path, load_config, profile_path, shipped
from router_mcp.config.warmup_file import Template, WarmupFile, load_warmup
from router_mcp.domain import GenerateRequest, JsonSchema
from router_mcp.errors import ConfigError, UnreachableError
from router_mcp.operations.warm import Warmth, jobs, replicas, warm
from router_mcp.router import Router
from tests.caching import CachingRuntime
from tests.houses import House, make_policy, open_house

pytestmark = pytest.mark.anyio

SYSTEM = "You summarise the notes of meetings and leave out whatever was said in jest. " * 20
PROMPT = "Summarise these notes of the meeting: "
SHAPE = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def file(**template: Any) -> WarmupFile:
    values = {"task": "reasoning", "system": SYSTEM, "prompt": PROMPT} | template
    return WarmupFile(version=1, patience=30, templates={"notes": Template(**values)})


async def warmed(
    router: Router, templates: WarmupFile, *, tenant: str | None = None, everywhere: bool = False
) -> list[Warmth]:
    return await warm(router, templates, tenant=tenant, everywhere=everywhere, tell=lambda result: None)


async def test_the_next_call_finds_its_beginning_in_the_cache_and_its_first_word_comes_sooner() -> None:
    gpu = CachingRuntime()
    async with open_house(gpu=gpu) as house:
        [result] = await warmed(house.router, file())
        assert result.outcome == "warmed"
        assert result.warmed_tokens == result.cached_tokens
        assert result.cached_tokens is not None
        assert result.cached_tokens > 250
        assert result.first_token_before_s is not None
        assert result.first_token_after_s is not None
        assert result.first_token_after_s < result.first_token_before_s / 10
        answer = await house.router.generate(GenerateRequest(prompt=PROMPT + "Bob laughed.", system=SYSTEM))
        assert answer.receipt.time_to_first_token_s is not None
        assert answer.receipt.time_to_first_token_s < result.first_token_before_s / 5


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("shape", [None, SHAPE])
async def test_what_is_warmed_is_what_callers_send_to_the_byte(
    tenant: str | None, shape: dict[str, Any] | None
) -> None:
    gpu = CachingRuntime()
    async with open_house(gpu=gpu) as house:
        await warmed(house.router, file(tenants=(tenant,) if tenant else (), json_schema=shape))
        ours = gpu.calls[0]
        constraint = JsonSchema(shape) if shape else None
        request = GenerateRequest(prompt=PROMPT, system=SYSTEM, tenant=tenant, constraint=constraint, timeout_s=5)
        try:
            await house.router.generate(request)
        except Exception:  # noqa: BLE001 - "one" is no JSON; only what was sent matters here
            assert shape
        theirs = gpu.calls[2]
    assert (ours.messages, ours.cache_salt, ours.constraint) == (theirs.messages, theirs.cache_salt, theirs.constraint)
    assert (ours.model, ours.endpoint, ours.max_output_tokens) == (theirs.model, theirs.endpoint, 1)
    assert bool(ours.cache_salt) == bool(tenant)


async def test_each_tenant_is_warmed_under_its_own_salt() -> None:
    gpu = CachingRuntime()
    async with open_house(gpu=gpu) as house:
        results = await warmed(house.router, file(tenants=("acme", "globex")))
        assert [(each.tenant, each.outcome) for each in results] == [("acme", "warmed"), ("globex", "warmed")]
        assert len({call.cache_salt for call in gpu.calls}) == 2
        [named] = await warmed(house.router, file(tenants=("acme", "globex")), tenant="initech")
        assert (named.tenant, named.outcome) == ("initech", "warmed")


async def test_what_was_warm_already_and_what_is_too_short_to_be_kept_is_said() -> None:
    async with open_house(gpu=CachingRuntime()) as house:
        await warmed(house.router, file())
        assert [each.outcome for each in await warmed(house.router, file())] == ["was_warm"]
        [short] = await warmed(house.router, file(system=None, prompt="Say hello."))
        assert short.outcome == "not_cached"
        assert "shorter than a block" in (short.detail or "")


def endpoints_of(house: House, templates: WarmupFile, *, everywhere: bool = False) -> list[str]:
    fleet = house.router.fleet
    return [each.url for job in jobs(fleet, templates, None) for each in replicas(fleet, job, everywhere=everywhere)]


async def test_a_long_beginning_is_warmed_only_where_affinity_sends_its_calls() -> None:
    gpu = CachingRuntime()
    async with open_house(gpu=gpu, replicas=3) as house:
        long = file(prompt=PROMPT * 30)
        [where] = endpoints_of(house, long)
        await warmed(house.router, long)
        assert {call.endpoint.url for call in gpu.calls} == {where}
        for number in range(5):
            await house.router.generate(GenerateRequest(prompt=f"{PROMPT * 30}{number}", system=SYSTEM))
        assert {call.endpoint.url for call in gpu.calls} == {where}
        assert len(endpoints_of(house, long, everywhere=True)) == 3


async def test_a_short_beginning_is_warmed_everywhere_for_what_follows_decides() -> None:
    async with open_house(gpu=CachingRuntime(), replicas=3) as house:
        assert len(endpoints_of(house, file())) == 3
        assert len(await warmed(house.router, file())) == 3


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_beginning_is_settled_when_nothing_after_it_changes_the_key(extra: int) -> None:
    prompt = "p" * (affinity.PREFIX_CHARS + extra)
    keys = {affinity.prefix_key(None, "s" * 2000, prompt + more) for more in ("", "a", "b")}
    assert affinity.is_settled(prompt) == (len(keys) == 1) == (extra >= 0)


async def test_a_busy_endpoint_is_left_alone_until_it_is_free() -> None:
    gpu = CachingRuntime(busy=5)
    async with open_house(gpu=gpu) as house, anyio.create_task_group() as tasks:
        results: list[Warmth] = []

        async def work() -> None:
            results.extend(await warmed(house.router, file()))

        tasks.start_soon(work)
        await anyio.sleep(10)
        assert gpu.calls == []
        gpu.busy = 1
        await anyio.sleep(10)
    assert results[0].outcome == "warmed"


async def test_an_endpoint_that_stays_busy_is_skipped_and_said() -> None:
    gpu = CachingRuntime(busy=5)
    async with open_house(gpu=gpu) as house:
        [result] = await warmed(house.router, file())
    assert result.outcome == "busy"
    assert "Warm at a quieter hour" in (result.detail or "")
    assert gpu.calls == []


async def test_counters_that_speak_for_others_too_prove_nothing() -> None:
    async with open_house(gpu=CachingRuntime(strangers=5)) as house:
        assert [each.outcome for each in await warmed(house.router, file())] == ["unverified"]
    async with open_house(gpu=CachingRuntime(counts=False)) as house:
        assert [each.outcome for each in await warmed(house.router, file())] == ["unverified"]


async def test_counters_that_come_late_are_waited_for() -> None:
    async with open_house(gpu=CachingRuntime(late=5, mute=3)) as house:
        assert [each.outcome for each in await warmed(house.router, file())] == ["warmed"]


@pytest.mark.parametrize(("late", "mute"), [(1000, 0), (0, 1000)])
async def test_counters_that_do_not_come_prove_nothing(late: int, mute: int) -> None:
    async with open_house(gpu=CachingRuntime(late=late, mute=mute)) as house:
        assert [each.outcome for each in await warmed(house.router, file())] == ["unverified"]


async def test_an_endpoint_that_is_down_fails_and_the_others_are_warmed() -> None:
    down = CachingRuntime(failure=UnreachableError("it cannot be reached. Start it."))
    async with open_house(gpu=down) as house:
        [result] = await warmed(house.router, file())
    assert (result.outcome, result.detail) == ("failed", "it cannot be reached. Start it.")


async def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    gpu = CachingRuntime()
    gpu.health = None

    async def hang(*_: object) -> Any:
        await anyio.sleep_forever()

    gpu.probe = hang  # type: ignore[method-assign, assignment]  # a server that hangs
    async with open_house(gpu=gpu) as house:
        [result] = await warmed(house.router, file())
    assert result.outcome == "failed"
    assert "did not answer a health check" in (result.detail or "")


async def test_a_prompt_that_is_not_read_in_time_is_given_up() -> None:
    gpu = CachingRuntime()

    async def hang(*_: object) -> Any:
        await anyio.sleep_forever()

    gpu.generate = hang  # type: ignore[method-assign, assignment]  # an engine that hangs
    async with open_house(gpu=gpu) as house:
        [result] = await warmed(house.router, file())
    assert "did not read a prompt within 30 s" in (result.detail or "")


async def test_a_task_that_no_vllm_serves_has_no_cache_to_warm() -> None:
    async with open_house() as house:
        [result] = await warmed(house.router, file(model="small"))
    assert (result.outcome, result.endpoint) == ("no_cache", "")


async def test_a_task_that_the_policy_lacks_is_said_and_the_others_are_warmed() -> None:
    templates = {"theirs": Template(task="cooking", prompt=PROMPT), **file().templates}
    async with open_house(gpu=CachingRuntime()) as house:
        found = await warmed(house.router, WarmupFile(version=1, templates=templates))
    assert [(each.template, each.outcome) for each in found] == [("theirs", "no_task"), ("notes", "warmed")]


BAD = """\
version: 1
templates:
  notes: {task: cooking, prompt: hello}
  empty: {task: reasoning}
  pinned: {task: reasoning, prompt: hello, model: bigger}
"""


def test_a_bad_file_is_refused_with_line_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "warmup.yaml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as refused:
        load_warmup(path, {}, make_policy())
    lines = str(refused.value).split("\n")
    assert "warmup.yaml:3: templates.notes.task: there is no task 'cooking' with models." in lines[0]
    assert "warmup.yaml:4: templates.empty: a template needs a beginning." in lines[1]
    assert "warmup.yaml:5: templates.pinned.model: there is no model 'bigger'. Did you mean 'big'?" in lines[2]


@pytest.mark.parametrize("profile", ["dev-cpu", "dev-gpu", "staging", "production", "embedded", None])
def test_the_file_that_ships_fits_every_policy_that_ships(profile: str | None) -> None:
    policy = load_config(profile_path(profile) if profile else default_path({}), {})
    assert load_warmup(shipped("router/warmup.yaml"), {}, policy).templates


def test_a_file_without_templates_is_good_for_those_who_have_none_yet(tmp_path: Path) -> None:
    path = tmp_path / "warmup.yaml"
    path.write_text("version: 1\n")
    assert load_warmup(path, {}, make_policy()).templates == {}
