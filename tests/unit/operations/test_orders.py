"""What is in force in one process, and what it tells the others."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from router_mcp.comparison import Tally
from router_mcp.domain import GenerateRequest
from router_mcp.errors import BrokenStreamError, ConfigError, RejectedError
from router_mcp.operations.policy_change import read_policy
from router_mcp.operations.sentinel import Sentinel
from router_mcp.router import Router
from router_mcp.shadow import Shadow
from router_mcp.state.directory import StateDirectory
from router_mcp.state.window import read_counts
from tests.canaries import POLICY, Site
from tests.scripted import ScriptedRuntime, fails, hangs

pytestmark = pytest.mark.anyio

ONLY_ACME = POLICY.replace(
    'laptop: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}',
    'laptop: {kind: ollama, endpoints: ["http://127.0.0.1:11434"], tenants: [acme]}',
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_runtime_that_is_one_tenants_serves_nobody_else(tmp_path: Path) -> None:
    site = Site(tmp_path, text=ONLY_ACME.replace("[big, small]", "[small]"))
    async with site.router() as router:
        assert (await router.generate(GenerateRequest(prompt="hi", tenant="acme"))).model == "small"
        for tenant in (None, "globex"):
            with pytest.raises(RejectedError, match="No model of task 'reasoning' is for this caller") as refused:
                await router.generate(GenerateRequest(prompt="hi", tenant=tenant))
            assert "acme" not in str(refused.value)
    assert len(site.laptop.calls) == 1


async def test_where_others_may_serve_a_tenants_own_runtime_is_only_left_out(tmp_path: Path) -> None:
    site = Site(tmp_path, text=ONLY_ACME)
    site.gpu.behaviour = fails(BrokenStreamError("it broke off."))
    async with site.router() as router:
        plan = router.explain(GenerateRequest(prompt="", tenant="globex"))
        assert [(skip.model, skip.code) for skip in plan.skipped] == [("small", "rejected")]
        assert (await router.generate(GenerateRequest(prompt="hi", tenant="acme"))).model == "small"


async def test_numbers_that_cannot_be_written_now_come_later(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        with site.state.locked("window"):
            await router.generate(GenerateRequest(prompt="hi"))
            router.orders.write_counts(120)
            assert router.orders.watch.counted
        router.orders.write_counts(120)
        canary = site.canaries().get("big")
        assert canary is not None
        counted = read_counts(site.state, canary.id, "big-canary", router.orders.wall(), 120)
        assert counted.attempts == 1
        router.orders.state = StateDirectory(site.path / "no folder")
        await router.generate(GenerateRequest(prompt="hi"))
        router.orders.write_counts(120)
        assert "not judged by this process's calls" in caplog.text
        router.orders.state = site.state


async def test_a_canary_of_a_model_that_this_policy_lacks_is_no_concern_of_this_process(tmp_path: Path) -> None:
    one = Site(tmp_path)
    one.running(share=1.0)
    (tmp_path / "b").mkdir()
    other = Site(tmp_path / "b", text=POLICY.replace("big", "large"))
    other.environ = one.environ
    async with other.router() as router:
        assert (await router.generate(GenerateRequest(prompt="hi"))).model == "large"


async def test_a_sentinel_that_finds_the_canary_taken_or_gone_lets_it_be(site: Site) -> None:
    site.running(share=1.0)
    site.canary.behaviour = fails(BrokenStreamError("it broke off."))
    async with site.router() as router:
        sentinel = Sentinel(router, anyio.current_time)
        canary = site.canaries().get("big")
        assert canary is not None
        rollout = router.orders.rollouts(router.fleet.policy)["big"]
        with site.state.locked("canaries"):
            sentinel._withdraw(site.state, rollout, ("it is bad",))
        assert site.canaries().get("big") == canary
        site.canaries().rollback("big")
        sentinel._withdraw(site.state, rollout, ("it is bad",))
    assert site.audited().count("canary.rollback") == 1


async def test_a_state_file_that_is_damaged_stops_no_sentinel(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.running(share=1.0)
    async with site.router() as router:
        router.orders.rollouts(router.fleet.policy)
        sentinel, canary = Sentinel(router, anyio.current_time), site.canaries().get("big")
        assert canary is not None
        router.orders.watch.counted = {canary.id: {"big-canary": Tally(attempts=50, failed=50)}}
        site.state.write("canaries.json", b"{")
        sentinel.look()
        assert "The canary of big cannot be judged" in caplog.text


async def test_without_a_state_folder_there_is_nothing_to_watch() -> None:
    from tests.houses import open_house  # noqa: PLC0415 - only here

    async with open_house() as house:
        Sentinel(house.router, anyio.current_time).look()
        assert house.router.orders.look() is False


async def test_copies_never_wait_before_callers(tmp_path: Path) -> None:
    text = POLICY.replace('http://gpu-next"]}', 'http://gpu-next"], max_concurrency: 1}')
    site = Site(tmp_path, canary=ScriptedRuntime(hangs()), text=text)
    site.running(share=1.0, shadow=True)

    async def pinned(router: Router, number: int) -> None:
        with anyio.move_on_after(5):
            await router.generate(GenerateRequest(prompt=f"{number}", model="big-canary"))

    async with site.router() as router, anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(pinned, router, number)
        await anyio.sleep(0.1)
        assert router.book.queued("gpu-canary") == 1
        await router.generate(GenerateRequest(prompt="copied"))
        await anyio.sleep(1)
        assert len(site.canary.calls) == 1
        assert not Shadow(router)._has_room("none")


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_policy_that_cannot_be_read_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_policy(path)
