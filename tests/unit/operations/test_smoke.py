"""What a candidate must show before it gets a call of anyone's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp.config import shipped
from router_mcp.config.smoke_file import Latency, SmokeFile, load_smoke
from router_mcp.domain import Call, Completion, Listener, Probe, Usage
from router_mcp.errors import ConfigError, ContextTooLongError, UnreachableError
from router_mcp.operations.smoke import Check, SmokeSuite
from tests.canaries import Site
from tests.scripted import Behaviour, fails, hangs, says

pytestmark = pytest.mark.anyio

SUITE = load_smoke(shipped("router/smoke.yaml"), {})
WINDOW = 32768


def able(**can: Any) -> Behaviour:
    """Answer what the suite that ships asks, but for what a test takes away."""
    said = {"capital": "It is Paris.", "person": '{"name": "Ada", "born": 1815}', "choice": '"yes"'} | can

    async def answer(call: Call, listener: Listener) -> Completion:
        asked = call.messages[-1].content
        words = len(asked.split())
        if words > WINDOW and not can.get("cuts"):
            raise ContextTooLongError("the prompt does not fit.")
        if "lighthouse" in asked and can.get("story", "endless") == "endless":
            listener.text("Once")
            await anyio.sleep_forever()
        await anyio.sleep(can.get("after_s", 0.0))
        key = (
            "capital" if "France" in asked else "person" if "Lovelace" in asked else "choice" if "wet" in asked else ""
        )
        text = said.get(key, "Hello there.")
        listener.text(text)
        usage = Usage(input_tokens=can.get("counts", words), output_tokens=3)
        return Completion(text=text, finish_reason="stop", usage=usage)

    return answer


async def smoked(site: Site, suite: SmokeFile = SUITE) -> dict[str, Check]:
    async with site.router() as router:
        told: list[Check] = []
        done = await SmokeSuite(router, suite, "big", "big-canary").run(told.append)
        assert told == done
        return {check.name: check for check in done}


def failures(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.detail for name, check in checks.items() if not check.passed}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.canary.behaviour = able()
    return site


async def test_a_candidate_that_is_able_passes_everything(site: Site) -> None:
    checks = await smoked(site)
    assert failures(checks) == {}
    assert list(checks) == [
        "health of http://gpu-next",
        "reasoning: capital",
        "reasoning: plain-text",
        "structured: person",
        "structured: choice",
        "context: reads a long prompt",
        "context: refuses what is too long",
        "cancel: frees its place",
    ]
    assert site.gpu.calls == []


@pytest.mark.parametrize(
    ("behaviour", "failed", "said"),
    [
        (lambda: able(capital="It is Rome."), "reasoning: capital", "does not match the pattern"),
        (lambda: says("<|im_end|> Paris"), "reasoning: plain-text", "matches a pattern that it must not"),
        (lambda: able(person='{"name": "Ada"}'), "structured: person", ""),
        (lambda: able(choice="maybe"), "structured: choice", ""),
        (lambda: able(after_s=11.0), "reasoning: capital", "First token after 11.0 s"),
        (
            lambda: able(counts=100),
            "context: reads a long prompt",
            "read 100 tokens of 16384 words: the prompt was cut",
        ),
        (lambda: able(cuts=True), "context: refuses what is too long", "took a prompt of twice the 32768 tokens"),
    ],
)
async def test_each_thing_that_it_cannot_do_fails_its_own_check(
    site: Site, behaviour: Callable[[], Behaviour], failed: str, said: str
) -> None:
    site.canary.behaviour = behaviour()
    found = failures(await smoked(site))
    assert failed in found
    assert said in found[failed]


async def test_a_candidate_that_is_down_fails_at_once(site: Site) -> None:
    site.canary.health = UnreachableError("it cannot be reached. Start it.")
    assert failures(await smoked(site)) == {"health of http://gpu-next": "it cannot be reached. Start it."}
    assert site.canary.calls == []


async def test_a_candidate_without_the_model_fails_at_once(site: Site) -> None:
    site.canary.health = Probe(models=frozenset({"other"}), running=0)
    assert failures(await smoked(site)) == {"health of http://gpu-next": "It does not have the model 'big'."}


async def test_a_candidate_that_answers_health_checks_and_nothing_else_fails_at_once(site: Site) -> None:
    site.canary.behaviour = hangs()
    [detail] = failures(await smoked(site)).values()
    assert "did not read a prompt within 120 s" in detail


async def test_a_candidate_that_generates_on_for_nobody_fails(site: Site) -> None:
    inner = able()

    async def answer(call: Call, listener: Listener) -> Completion:
        if "lighthouse" in call.messages[-1].content:
            site.canary.health = Probe(running=1)
        return await inner(call, listener)

    site.canary.behaviour = answer
    assert failures(await smoked(site)) == {
        "cancel: frees its place": "It still generates 5 s after its caller went away."
    }


async def test_a_story_that_ends_or_fails_by_itself_tells_nothing_of_cancelling(site: Site) -> None:
    site.canary.behaviour = able(story="short")
    assert failures(await smoked(site)) == {}
    inner = able()

    async def answer(call: Call, listener: Listener) -> Completion:
        if "lighthouse" in call.messages[-1].content:
            return await fails(UnreachableError("it is gone."))(call, listener)
        return await inner(call, listener)

    site.canary.behaviour = answer
    assert failures(await smoked(site)) == {"cancel: frees its place": "it is gone."}


async def test_what_a_suite_leaves_out_is_not_asked(site: Site) -> None:
    bare = SmokeFile(version=1, context_fill=0, refuses_too_long=False, cancels=False, latency=Latency())
    assert list(await smoked(site, bare)) == ["health of http://gpu-next"]


async def test_a_prompt_can_be_for_some_tasks_only_and_want_a_length(site: Site) -> None:
    capital = SUITE.prompts["capital"]
    prompts = {
        "other": capital.model_copy(update={"tasks": ("report",)}),
        "long": capital.model_copy(update={"tasks": ("reasoning",), "min_chars": 100}),
    }
    suite = SUITE.model_copy(update={"prompts": prompts, "structured": {}})
    checks = await smoked(site, suite)
    assert "reasoning: other" not in checks
    assert failures(checks) == {"reasoning: long": "The answer has fewer than 100 characters."}


async def test_a_model_of_no_task_is_tested_with_the_default_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.path.write_text(site.text.replace("[big, small]", "[small]"))
    site.canary.behaviour = able()
    assert "reasoning: capital" in await smoked(site)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "version: 1\nprompts: {a: {prompt: hi, matches: '('}}\n",
            "smoke.yaml:2: prompts.a.matches: this is no pattern",
        ),
        ("version: 1\nprompt: {}\n", "Did you mean 'prompts'?"),
    ],
)
def test_a_bad_suite_is_refused_with_line_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "smoke.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_smoke(path, {})
    assert said in str(refused.value)
