"""What a probe of a vLLM asks, what it believes, and what it does not need to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest

from router_mcp.domain import JsonSchema, Probe
from router_mcp.errors import AttemptError, ServerFailedError, UnauthorizedError, UnreachableError
from router_mcp.runtimes.vllm import read_load, read_prefix_cache
from tests.clock import JumpingLoop
from tests.contract.calls import Heard
from tests.contract.replay import Exchange, Pieces, recording
from tests.contract.vllm_replay import ENDPOINT, VLLM, ask, over, recorded

pytestmark = pytest.mark.anyio

HANG = None
NOT_FOUND = Exchange("GET", "/", None, 404, (), b'{"detail":"Not Found"}')
REFUSED = httpx.ConnectError("refused")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}  # there are no sockets in this file


def recorded_site() -> dict[str, Exchange | Exception | None]:
    """Return what the recorded server says on each path; an exception, or `HANG`, may stand in."""
    names = ("health", "models", "version", "metrics")
    return {exchange.path: exchange for exchange in recorded(*names)}


@dataclass(slots=True)
class Site(httpx.AsyncBaseTransport):
    """A server that is asked by path, and may change between two questions."""

    says: dict[str, Exchange | Exception | None] = field(default_factory=recorded_site)
    paths: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        found = self.says.get(request.url.path, NOT_FOUND)
        if found is HANG:
            await anyio.sleep_forever()
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return httpx.Response(found.status, headers=list(found.headers), stream=Pieces(found.body, 65_536))


def reply(status: int, body: bytes = b"") -> Exchange:
    return Exchange("GET", "/", None, status, (), body)


async def test_a_server_that_is_well_tells_what_it_serves_and_how_busy_it_is() -> None:
    """vLLM B1 #5: a frozen engine answers `/health`, so the counters that should move go along."""
    probe = await over(Site()).probe(ENDPOINT)
    assert probe == Probe(
        models=frozenset({"mixtral-8x7b-instruct", "qwen2.5-14b-instruct", "mistral-nemo", "smollm2"}),
        version="0.32.0",
        running=0,
        tokens_total=33241.0 + 14916.0,
        prefix_queried=33241,
        prefix_hit=8576,
    )


def test_the_health_of_a_frozen_engine_was_seen_to_stay_good() -> None:
    """vLLM B1 #5."""
    probes = recording(VLLM, "lifecycle_stop_enginecore")["response"]["probes"]
    assert {probe["health"] for probe in probes if "health" in probe} == {200}


async def test_the_path_that_is_not_there_is_asked_once() -> None:
    """vLLM B1 #11: `/health` is the probe."""
    site = Site()
    runtime = over(site)
    for _ in range(2):
        await runtime.probe(ENDPOINT)
    assert site.paths.count("/healthz") == 1
    assert site.paths.count("/health") == 2


async def test_a_server_behind_a_proxy_with_its_own_path_is_asked_there() -> None:
    site = Site(recorded_site() | {"/up": reply(204)})
    await over(site, health_path="/up").probe(ENDPOINT)
    assert "/health" not in site.paths


async def test_the_configured_path_is_tried_again_after_a_failure() -> None:
    site = Site()
    runtime = over(site)
    await runtime.probe(ENDPOINT)
    site.says["/health"] = reply(503)
    with pytest.raises(ServerFailedError):
        await runtime.probe(ENDPOINT)
    site.says["/healthz"] = reply(200)
    await runtime.probe(ENDPOINT)
    assert site.paths.count("/healthz") == 2


async def test_a_gateway_that_hides_health_is_well_while_it_lists_its_models() -> None:
    site = Site(recorded_site())
    del site.says["/health"]
    assert (await over(site).probe(ENDPOINT)).models


async def test_a_server_without_any_health_path_has_the_wrong_url() -> None:
    with pytest.raises(ServerFailedError, match="Correct the endpoint's URL"):
        await over(Site({}), health_path="/health").probe(ENDPOINT)


async def test_a_dead_engine_is_dead_though_its_models_are_listed() -> None:
    """vLLM B1 #11: `/v1/models` answers 200 with a dead engine; `/health` answers 503."""
    names = ("keepalive_on_engine_death_health", "keepalive_on_engine_death_models")
    dead: dict[str, Exchange | Exception | None] = {exchange.path: exchange for exchange in recorded(*names)}
    assert isinstance(models := dead["/v1/models"], Exchange)
    assert models.status == 200
    with pytest.raises(ServerFailedError, match=r"failed \(503\)"):
        await over(Site(dead)).probe(ENDPOINT)


@pytest.mark.parametrize("name", ["auth_models_none"])
async def test_a_wrong_key_is_found_by_the_probe(name: str) -> None:
    """vLLM B1 #11: `/health` needs no key, so only `/v1/models` can tell before a caller does."""
    with pytest.raises(UnauthorizedError, match="api_key_env"):
        await over(Site(recorded_site() | {"/v1/models": recorded(name)[0]})).probe(ENDPOINT)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (REFUSED, UnreachableError),
        (httpx.ReadError("reset"), AttemptError),
        (reply(401), UnauthorizedError),
        (reply(500), ServerFailedError),
        (reply(307), ServerFailedError),
    ],
    ids=["refused", "reset", "401", "500", "307"],
)
async def test_what_is_not_health_is_an_error(answer: Exchange | Exception, kind: type[AttemptError]) -> None:
    site = Site(recorded_site() | {"/healthz": answer})
    with pytest.raises(kind):
        await over(site).probe(ENDPOINT)
    assert site.paths == ["/healthz"]


@pytest.mark.parametrize("path", ["/v1/models", "/version", "/metrics"])
@pytest.mark.parametrize(
    "answer",
    [NOT_FOUND, reply(403), reply(500), reply(200), reply(200, b"<html>"), reply(200, b"[1]"), REFUSED, HANG],
    ids=["404", "403", "500", "empty", "html", "list", "refused", "hangs"],
)
async def test_what_it_does_not_say_is_no_failure(path: str, answer: Exchange | Exception | None) -> None:
    """vLLM B1 #11."""
    with anyio.fail_after(1):
        probe = await over(Site(recorded_site() | {path: answer})).probe(ENDPOINT)
    unknown = {"/v1/models": probe.models, "/version": probe.version, "/metrics": probe.running}
    assert unknown[path] is None


@pytest.mark.parametrize("data", [b'{"data":null}', b'{"data":["x",{"id":"a"},{"name":"b"}]}'])
async def test_a_strange_list_of_models_is_read_as_far_as_it_goes(data: bytes) -> None:
    probe = await over(Site(recorded_site() | {"/v1/models": reply(200, data)})).probe(ENDPOINT)
    assert probe.models == (frozenset({"a"}) if b"id" in data else None)


async def test_a_version_once_known_is_kept_when_it_is_not_told() -> None:
    site = Site()
    runtime = over(site)
    await runtime.probe(ENDPOINT)
    site.says["/version"] = REFUSED
    assert (await runtime.probe(ENDPOINT)).version == "0.32.0"


async def test_a_server_that_keeps_silent_about_its_version_delays_only_the_first_call() -> None:
    site = Site({"/version": HANG, "/v1/chat/completions": recorded("so_stream")[0]})
    runtime = over(site)
    for _ in range(2):
        await runtime.generate(ask(constraint=JsonSchema({})), Heard())
    assert site.paths.count("/version") == 1


async def test_another_release_on_the_same_endpoint_is_noticed() -> None:
    site = Site()
    runtime = over(site)
    await runtime.probe(ENDPOINT)
    site.says["/version"] = reply(200, b'{"version":"0.11.0"}')
    assert (await runtime.probe(ENDPOINT)).version == "0.11.0"


@pytest.mark.parametrize(
    ("metrics", "load"),
    [
        (b"", (None, None)),
        (b"vllm:num_requests_running 3.0\n", (3, None)),
        (b'vllm:prompt_tokens_total{a="b"} 1e3\n', (None, 1000.0)),
        (b'vllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_running{engine="1"} 2.0\n', (3, None)),
        (b'vllm:num_requests_running{m="a} b"} 1.0\n', (1, None)),
        (b"vllm:num_requests_running{} NaN\nvllm:generation_tokens_total{} +Inf\n", (None, None)),
        (b"vllm:num_requests_running{} many\n", (None, None)),
        (b"# vllm:num_requests_running 3.0\nvllm:num_requests_running_created 5.0\n", (None, None)),
    ],
)
def test_the_load_is_the_sum_over_engines_and_names(metrics: bytes, load: tuple[int | None, float | None]) -> None:
    """vLLM B1 #9: the label is the first served name, whoever asked, so it is not looked at."""
    assert read_load(metrics) == load


@pytest.mark.parametrize(
    ("name", "dropped"),
    [("cache_reset", True), ("cache_reset_while_running", False), ("nodev_reset_prefix_cache", False)],
)
async def test_a_cache_is_reported_as_dropped_only_if_it_was(name: str, dropped: bool) -> None:
    """vLLM B1 #12: outside dev mode there is no such route, and a busy server says 200 and `false`."""
    site = Site({"/reset_prefix_cache": recorded(name)[0]})
    assert await over(site).reset_cache(ENDPOINT) is dropped


@pytest.mark.parametrize(
    ("metrics", "cache"),
    [
        (b"", (None, None)),
        (b"vllm:prefix_cache_queries_total 9.0\nvllm:prefix_cache_hits_total 4.0\n", (9, 4)),
        (b'vllm:prefix_cache_hits_total{engine="0"} 1.0\nvllm:prefix_cache_hits_total{engine="1"} 2.0\n', (None, 3)),
        (b"vllm:external_prefix_cache_hits_total 7.0\nvllm:prefix_cache_hits_created 5.0\n", (None, None)),
    ],
)
def test_what_the_prefix_cache_served_is_the_sum_over_engines(
    metrics: bytes, cache: tuple[int | None, int | None]
) -> None:
    assert read_prefix_cache(metrics) == cache


async def test_dropping_a_cache_reaches_the_tiers_below_the_gpu() -> None:
    """They would go on serving what the GPU dropped (gateways.md L25)."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"success": True})

    assert await over(httpx.MockTransport(answer)).reset_cache(ENDPOINT)
    assert seen == ["/reset_prefix_cache?reset_external=true"]


@pytest.mark.parametrize("answer", [reply(200), reply(200, b'{"success":"yes"}'), reply(405)])
async def test_a_cache_is_not_reported_as_dropped_on_a_guess(answer: Exchange) -> None:
    assert await over(Site({"/reset_prefix_cache": answer})).reset_cache(ENDPOINT) is False


@pytest.mark.parametrize(("answer", "kind"), [(reply(401), UnauthorizedError), (reply(500), ServerFailedError)])
async def test_a_cache_that_cannot_be_dropped_says_why(answer: Exchange, kind: type[AttemptError]) -> None:
    with pytest.raises(kind):
        await over(Site({"/reset_prefix_cache": answer})).reset_cache(ENDPOINT)
