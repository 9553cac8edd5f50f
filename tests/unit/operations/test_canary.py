"""A canary from its start to its end, on scripted runtimes and a clock that jumps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from router_mcp.domain import GenerateRequest, GenerateResult, JsonSchema
from router_mcp.errors import BrokenStreamError, ConfigError, RejectedError, UnreachableError
from router_mcp.operations.canary import PromotionRefusedError
from router_mcp.operations.drill import drill_task
from router_mcp.router import Router
from router_mcp.state.directory import replace_file
from router_mcp.wiring import Outside
from tests.canaries import POLICY, Site
from tests.scripted import REFUSES, Behaviour, fails, hangs, in_turn, says

pytestmark = pytest.mark.anyio

PERSON = JsonSchema({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def call(router: Router, number: int, **more: Any) -> GenerateResult:
    return await router.generate(GenerateRequest(prompt=f"question {number}", **more))


async def traffic(router: Router, count: int, *, at_once: int = 8, every_s: float = 0.1, **more: Any) -> Counter[str]:
    """Make calls as clients do, and return which models served; an error fails the test."""
    served: Counter[str] = Counter()
    slots = anyio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with slots:
            served[(await call(router, number, **more)).model] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
            await anyio.sleep(every_s)
    return served


async def test_from_its_start_to_its_promotion(site: Site) -> None:
    canaries = site.canaries()
    async with site.router() as router:
        assert canaries.start("big", share=None, shadow=False).phase == "waiting"
        await anyio.sleep(2)
        assert set(await traffic(router, 20)) == {"big"}  # nobody meets it before its suite has passed
        assert canaries.tested("big", ()).phase == "running"
        await anyio.sleep(1)
        served = await traffic(router, 500)
        assert set(served) == {"big", "big-canary"}
        assert 0.14 < served["big-canary"] / 500 < 0.26
        await anyio.sleep(2)
        past = canaries.promote("big")
        await anyio.sleep(2)
        result = await call(router, 1)
        assert (result.model, result.text) == ("big", "from the new box")
        assert router.fleet.policy.runtimes["gpu"].endpoints == ("http://gpu-next",)
    assert Path(past.backup).read_text() == POLICY
    assert site.audited() == ["canary.start", "canary.smoke", "canary.promote"]
    assert site.canaries().known().canaries == {}


async def test_the_same_conversation_always_goes_the_same_way(site: Site) -> None:
    site.running(share=0.5)
    async with site.router() as router:
        first = [(await call(router, number)).model for number in range(40)]
        again = [(await call(router, number)).model for number in range(40)]
        assert first == again
        assert len(set(first)) == 2
        tenants = {(await call(router, 1, tenant=f"t{number}")).model for number in range(20)}
        assert len(tenants) == 2


async def test_a_pinned_model_is_not_replaced_and_a_canary_can_be_pinned(site: Site) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        assert (await call(router, 1)).model == "big-canary"
        assert (await call(router, 1, model="big")).model == "big"
        assert (await call(router, 1, model="big-canary")).text == "from the new box"


async def test_a_plan_says_what_a_canary_gets(site: Site) -> None:
    site.running(share=0.25)
    async with site.router() as router:
        plan = router.explain(GenerateRequest(prompt=""))
        assert [step.model for step in plan.steps] == ["big", "small"]
        assert plan.steps[0].reason == "primary of the task; 25% of calls try its canary first; unknown"
        site.running(share=1.0)
        await anyio.sleep(1)
        plan = router.explain(GenerateRequest(prompt="hi"))
        assert [(step.model, step.canary) for step in plan.steps] == [
            ("big-canary", True), ("big", False), ("small", False),
        ]  # fmt: skip
        assert plan.steps[0].reason.startswith("canary of big, for 100% of calls")


async def test_whoever_is_served_after_a_canary_failed_is_told(site: Site) -> None:
    site.running(share=1.0)
    site.canary.behaviour = REFUSES
    async with site.router() as router:
        result = await call(router, 1)
        assert (result.model, result.fallback_from) == ("big", ("big-canary",))


async def test_whoever_is_served_by_the_canary_of_a_fallback_is_told_of_the_primary(site: Site) -> None:
    site.path.write_text(POLICY.replace("[big, small]", "[small, big]"))
    site.running(share=1.0)
    site.laptop.behaviour = REFUSES
    async with site.router() as router:
        result = await call(router, 1)
        assert (result.model, result.fallback_from) == ("big-canary", ("small",))
        result = await call(router, 2)  # the laptop is now left alone, and was passed over all the same
        assert (result.model, result.fallback_from) == ("big-canary", ("small",))


def callers(site: Site) -> int:
    """Return how many calls of callers the canary had; what the router asks by itself are none."""
    return sum(each.messages[-1].content.startswith("question") for each in site.canary.calls)


def slow(text: str) -> Behaviour:
    return says(text, after_s=4)


def dying() -> Behaviour:
    gone = fails(UnreachableError("it cannot be reached."))
    return in_turn(*[says("still here")] * 10, fails(BrokenStreamError("it broke off."), after_text="I was"), gone)


BAD: dict[str, tuple[Callable[[], Behaviour], str]] = {
    "slow": (lambda: slow("at last"), "first token comes after"),
    "hanging": (hangs, "calls failed"),
    "failing": (lambda: fails(BrokenStreamError("it broke off."), after_text="I"), "could be used for"),
    "refusing": (lambda: fails(RejectedError("it refused the request.")), "calls failed"),
    "dying": (dying, "calls failed"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_canary_is_rolled_back_by_itself_and_no_caller_sees_an_error(site: Site, kind: str) -> None:
    behaviour, reason = BAD[kind]
    site.canary.behaviour = behaviour()
    site.running(share=0.2)
    async with site.router() as router:
        served = await traffic(router, 1000, at_once=64, every_s=0.15)
        assert sum(served.values()) == 1000
        left = callers(site)
        await traffic(router, 50)
        assert callers(site) == left
    canary = site.canaries().get("big")
    assert canary is not None
    assert canary.phase == "rolled_back"
    assert reason in canary.reason
    assert site.audited().count("canary.rollback") == 1


async def test_a_canary_of_broken_json_is_rolled_back_and_every_answer_is_valid(site: Site) -> None:
    site.gpu.behaviour = says('{"name": "Ada"}')
    site.canary.behaviour = says('{"name": 42}')
    site.running(share=0.2)
    async with site.router() as router:
        served = await traffic(router, 1000, constraint=PERSON)
    assert sum(served.values()) == 1000
    assert served["big-canary"] == 0
    canary = site.canaries().get("big")
    assert canary is not None
    assert "structured answers were invalid" in canary.reason


async def test_two_routers_roll_back_once_and_both_obey(site: Site) -> None:
    site.canary.behaviour = fails(BrokenStreamError("it broke off."))
    site.running(share=0.5)
    async with site.router() as one, site.router() as other:
        await traffic(one, 200)
        await anyio.sleep(2)
        before = callers(site)
        await traffic(other, 100)
        assert callers(site) == before
    assert site.audited().count("canary.rollback") == 1


@pytest.mark.parametrize("apart_s", [0.1, 0.5, 0.9])
async def test_two_routers_follow_a_promotion_and_its_undoing_within_two_seconds(site: Site, apart_s: float) -> None:
    await with_calls(site)

    async def serves(router: Router, text: str) -> None:
        while (await call(router, 1, model="big")).text != text:
            await anyio.sleep(0.1)

    async with site.router() as one:
        await anyio.sleep(apart_s)
        async with site.router() as other:
            for order, text in (("promote", "from the new box"), ("rollback", "from the old box")):
                await anyio.sleep(apart_s)
                getattr(site.canaries(), order)("big")
                with anyio.fail_after(2):
                    for router in (one, other):
                        await serves(router, text)


async def test_both_routers_numbers_count_for_a_promotion(site: Site) -> None:
    site.running(share=0.5)
    async with site.router() as one, site.router() as other:
        for router in (one, other):
            await traffic(router, 45)
        await anyio.sleep(2)
        canary = site.canaries().get("big")
        assert canary is not None
        compared = site.canaries().compare("big", canary, site.policy())
        assert compared.model.attempts + compared.candidate.attempts == 90
        assert compared.objections == ()


async def test_a_process_that_lives_for_one_call_counts_too(site: Site) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        await call(router, 1)
    canary = site.canaries().get("big")
    assert canary is not None
    assert site.canaries().compare("big", canary, site.policy()).candidate.attempts == 1


async def test_a_shadow_gets_copies_and_serves_nobody(site: Site) -> None:
    site.running(share=0.5, shadow=True)
    async with site.router() as router:
        served = await traffic(router, 100)
        await anyio.sleep(2)
        assert set(served) == {"big"}
        assert 30 < callers(site) < 70
    canary = site.canaries().get("big")
    assert canary is not None
    assert site.canaries().compare("big", canary, site.policy()).candidate.attempts == callers(site)


async def test_a_shadow_that_fails_or_is_full_costs_nobody_anything(site: Site) -> None:
    site.canary.behaviour = hangs()
    site.running(share=1.0, shadow=True)
    async with site.router() as router:
        began = anyio.current_time()
        assert set(await traffic(router, 200, every_s=0.01)) == {"big"}
        assert anyio.current_time() - began < 5
        assert site.canary.most_running <= 4


async def test_a_canary_that_was_changed_after_its_suite_gets_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        assert (await call(router, 1)).model == "big-canary"
        site.path.write_text(POLICY.replace("http://gpu-next", "http://gpu-other"))
        await anyio.sleep(2)
        assert (await call(router, 1)).model == "big"
        assert "not those that passed the smoke suite" in caplog.text
    with pytest.raises(PromotionRefusedError, match="settings changed since"):
        site.canaries().promote("big")


async def test_a_promotion_without_its_conditions_is_refused_with_all_reasons(site: Site) -> None:
    canaries = site.canaries()
    canaries.start("big", share=0.3, shadow=False)
    with pytest.raises(PromotionRefusedError) as refused:
        canaries.promote("big")
    assert "its smoke suite has not passed yet: run `router-mcp canary smoke big`" in str(refused.value)
    assert "the canary had 0 calls" in str(refused.value)
    assert site.path.read_text() == POLICY
    canaries.tested("big", ("structured: person",))
    with pytest.raises(PromotionRefusedError, match=r"it was refused: The smoke suite failed: structured: person\."):
        canaries.promote("big")
    assert site.audited() == [
        "canary.start", "canary.promote.refused", "canary.smoke", "canary.promote.refused",
    ]  # fmt: skip


async def test_a_dry_run_prints_a_patch_that_git_takes_and_changes_nothing(site: Site) -> None:
    site.running()
    patch, against = site.canaries().patch("big")
    assert len(against) == 2
    assert site.path.read_text() == POLICY
    (site.folder / "it.patch").write_text(patch)
    done = await anyio.run_process(["git", "apply", "it.patch"], cwd=site.folder, check=False)
    assert done.returncode == 0, done.stderr
    assert site.policy().runtimes["gpu"].endpoints == ("http://gpu-next",)


async def with_calls(site: Site) -> None:
    """Have a canary that may be promoted."""
    site.running(share=0.5)
    async with site.router() as router:
        await traffic(router, 150)


def end_state(site: Site) -> tuple[Any, ...]:
    """Return all that a command leaves behind, but for times and random names."""
    known = json.loads((site.state.path / "canaries.json").read_text())
    for past in known["history"]:
        past.pop("at")
        past.pop("id")
    audited = [action for action in site.audited() if action not in {"canary.start", "canary.smoke"}]
    names = sorted(path.name for path in site.folder.rglob("*") if path.is_file())
    return site.path.read_text(), known, audited, [name for name in names if not name.startswith("window")]


def steps_of(site: Site, command: str) -> list[str]:
    steps: list[str] = []
    getattr(site.canaries(steps.append), command)("big")
    return steps


@pytest.mark.parametrize("step", ["backup", "intent", "policy", "audit", "state"])
@pytest.mark.parametrize("command", ["promote", "rollback"])
async def test_a_crash_at_any_step_is_made_good_by_running_the_command_again(
    tmp_path: Path, command: str, step: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, broken = Site(tmp_path / "a"), Site(tmp_path / "b")
    for site in (whole, broken):
        await with_calls(site)
        if command == "rollback":
            site.canaries().promote("big")
    assert steps_of(whole, command) == ["backup", "intent", "policy", "audit", "state"]

    def crash(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        getattr(broken.canaries(crash), command)("big")
    assert broken.policy().tasks["reasoning"].models == ("big", "small")  # whatever happened, it is a good file
    getattr(broken.canaries(), command)("big")
    found, wanted = end_state(broken), end_state(whole)
    assert str(found).replace(str(broken.folder), "") == str(wanted).replace(str(whole.folder), "")
    if command == "rollback":
        assert broken.path.read_text() == POLICY


@pytest.mark.parametrize("step", ["backup", "intent", "policy", "audit", "state"])
async def test_a_promotion_that_was_interrupted_can_be_rolled_back_instead(site: Site, step: str) -> None:
    await with_calls(site)

    def crash(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        site.canaries(crash).promote("big")
    site.canaries().rollback("big")
    site.canaries().rollback("big")
    assert site.path.read_text() == POLICY
    async with site.router() as router:
        assert set(await traffic(router, 20)) == {"big"}


async def test_while_a_promotion_is_interrupted_the_canary_gets_nothing_and_nothing_else_begins(site: Site) -> None:
    await with_calls(site)

    def crash(reached: str) -> None:
        if reached == "intent":
            raise Crash

    with pytest.raises(Crash):
        site.canaries(crash).promote("big")
    async with site.router() as router:
        assert set(await traffic(router, 50)) == {"big"}
    acts: tuple[Callable[[], object], ...] = (
        lambda: site.canaries().start("big", share=0.1, shadow=False),
        lambda: site.canaries().tested("big", ()),
    )
    for act in acts:
        with pytest.raises(ConfigError, match="bring that to its end"):
            act()


async def test_a_rollback_that_was_interrupted_is_not_promoted_over(site: Site) -> None:
    await with_calls(site)
    site.canaries().promote("big")

    def crash(reached: str) -> None:
        if reached == "intent":
            raise Crash

    with pytest.raises(Crash):
        site.canaries(crash).rollback("big")
    with pytest.raises(ConfigError, match="bring that to its end"):
        site.canaries().promote("big")
    assert "is undone" in site.canaries().rollback("big")
    assert site.path.read_text() == POLICY


async def test_an_edit_in_the_midst_of_a_promotion_is_never_overwritten(site: Site) -> None:
    await with_calls(site)

    def edit(reached: str) -> None:
        if reached == "intent":
            site.path.write_text(POLICY + "# edited\n")

    with pytest.raises(ConfigError, match="was edited while it was being changed"):
        site.canaries(edit).promote("big")
    assert site.path.read_text() == POLICY + "# edited\n"
    assert "the policy file is as it was" in site.canaries().rollback("big")
    assert site.path.read_text() == POLICY + "# edited\n"


async def test_undoing_a_promotion_keeps_what_was_edited_since(site: Site) -> None:
    await with_calls(site)
    site.canaries().promote("big")
    site.path.write_text(site.path.read_text() + "# edited since\n")
    assert "is undone" in site.canaries().rollback("big")
    assert site.path.read_text() == POLICY + "# edited since\n"
    assert "nothing to roll back" in site.canaries().rollback("big")


async def test_undoing_a_promotion_of_another_entry_for_the_model_keeps_what_was_edited_since(tmp_path: Path) -> None:
    entry = "  big-canary: {runtime: gpu-canary, context_window: 32768, served_name: big-v2}\n"
    text = POLICY.replace("  small: {", f"{entry}  small: {{")
    site = Site(tmp_path, text=text)
    await with_calls(site)
    site.canaries().promote("big")
    site.path.write_text(site.path.read_text() + "# edited since\n")
    assert "is undone" in site.canaries().rollback("big")
    assert site.policy().served_name("big") == "big"
    assert site.path.read_text().endswith("# edited since\n")


async def test_a_promotion_is_not_undone_with_something_that_nobody_tested(site: Site) -> None:
    await with_calls(site)
    site.canaries().promote("big")
    edited = site.path.read_text().replace('"http://gpu"', '"http://gpu-third"')  # in the place of the old box
    site.path.write_text(edited)
    with pytest.raises(ConfigError, match="what now stands there as big-canary is not what big was before"):
        site.canaries().rollback("big")
    assert site.path.read_text() == edited


async def test_a_canary_that_is_rolled_back_again_does_not_take_an_older_promotion_along(site: Site) -> None:
    await with_calls(site)
    site.canaries().promote("big")
    promoted = site.path.read_text()
    site.running()
    assert "gets no calls any more" in site.canaries().rollback("big")
    assert "big-canary has got no calls since" in site.canaries().rollback("big")
    assert site.path.read_text() == promoted


async def test_what_a_promotion_kept_must_be_as_it_was(site: Site) -> None:
    await with_calls(site)
    past = site.canaries().promote("big")
    Path(past.backup).write_text("something else")
    with pytest.raises(ConfigError, match="is missing or was changed"):
        site.canaries().rollback("big")


async def test_a_promotion_keeps_the_rights_of_the_file_and_follows_links(site: Site) -> None:
    await with_calls(site)
    real = site.folder / "real.yaml"
    site.path.chmod(0o640)
    site.path.rename(real)
    site.path.symlink_to(real)
    site.canaries().promote("big")
    assert site.path.is_symlink()
    assert oct(real.stat().st_mode & 0o777) == "0o640"
    assert "gpu-next" in real.read_text().splitlines()[3]


async def test_a_policy_that_cannot_be_written_points_to_the_patch_and_stays_as_it_is(site: Site) -> None:
    await with_calls(site)
    site.path = site.path.rename(site.folder / ("p" * 245 + ".yaml"))  # no temporary file finds room beside it
    with pytest.raises(ConfigError, match=r"cannot be written \(File name too long\).*--dry-run prints the patch"):
        site.canaries().promote("big")
    assert site.path.read_text() == POLICY
    assert "the policy file is as it was" in site.canaries().rollback("big")


async def test_starting_again_changes_the_share_and_asks_for_no_new_suite(site: Site) -> None:
    site.running(share=0.1)
    canary = site.canaries().start("big", share=0.4, shadow=True)
    assert (canary.phase, canary.share, canary.shadow) == ("running", 0.4, True)


async def test_after_a_rollback_everything_begins_anew(site: Site) -> None:
    site.running()
    assert "gets no calls any more" in site.canaries().rollback("big")
    with pytest.raises(ConfigError, match="was rolled back"):
        site.canaries().tested("big", ())
    canary = site.canaries().start("big", share=None, shadow=False)
    assert (canary.phase, canary.smoke) == ("waiting", None)


@pytest.mark.parametrize("command", ["promote", "tested"])
async def test_a_canary_that_was_never_started_is_said(site: Site, command: str) -> None:
    arguments = ("big", ()) if command == "tested" else ("big",)
    with pytest.raises(ConfigError, match="Run `router-mcp canary start big` first"):
        getattr(site.canaries(), command)(*arguments)


async def test_a_model_that_has_no_canary_cannot_start_one(site: Site) -> None:
    with pytest.raises(ConfigError, match="small has no canary"):
        site.canaries().start("small", share=None, shadow=False)


async def test_a_state_file_that_is_damaged_leaves_the_last_orders_in_force(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        good = (site.state.path / "canaries.json").read_bytes()
        replace_file(site.state.path / "canaries.json", b"{", mode=0o600)
        await anyio.sleep(2)
        assert (await call(router, 1)).model == "big-canary"
        assert "last good orders stay in force" in caplog.text
        replace_file(site.state.path / "canaries.json", good, mode=0o600)
        await anyio.sleep(1)
        site.canaries().rollback("big")
        await anyio.sleep(1)
        assert (await call(router, 1)).model == "big"


async def test_a_drill_meets_no_canary_and_counts_for_none(site: Site) -> None:
    site.running(share=1.0)
    outside = Outside(environ=site.environ, wall=anyio.current_time, make_runtime=site.runtime)
    drilled = await drill_task(site.policy(), "reasoning", "primary", outside)
    assert (drilled.before, drilled.served_by) == ("big", "small")
    canary = site.canaries().get("big")
    assert canary is not None
    assert site.canaries().compare("big", canary, site.policy()).model.attempts == 0
