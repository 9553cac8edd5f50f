"""What Ollama says of itself: health, models, what is in memory, and how to empty it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router_mcp.errors import (
    AttemptError,
    BrokenStreamError,
    ModelUnusableError,
    ServerFailedError,
    UnauthorizedError,
    UnreachableError,
)
from router_mcp.runtimes.ollama_names import ModelNames
from tests.clock import JumpingLoop
from tests.contract.ollama_traffic import ENDPOINT, a_runtime, exchange, failed
from tests.contract.replay import Exchange, Replay

pytestmark = pytest.mark.anyio

HEALTHZ = exchange("003_get_healthz")
VERSION = exchange("004_get_version")
TAGS = exchange("005_get_tags")
NOTHING_LOADED = exchange("006_get_ps_before_load")
ONE_LOADED = exchange("012_get_ps_after_load")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Pauses cost nothing here: no test of this file opens a socket."""
    return "asyncio", {"loop_factory": JumpingLoop}


def says(path: str, body: str, status: int = 200) -> Exchange:
    return Exchange("GET", path, None, status, (), body.encode())


NO_VERSION = says("/api/version", "404 page not found", 404)


def unload(model: str) -> Exchange:
    one = exchange("050e_keep_alive_0_unload_chat")
    body = {"model": model, "messages": [], "tools": [], "stream": False, "keep_alive": 0}
    return replace(one, json=body)


async def test_healthz_is_asked_first_and_its_404_is_remembered() -> None:
    """Ollama #22: /healthz is a 404 as text; /api/version is what answers."""
    replay = Replay([HEALTHZ, VERSION, TAGS, NOTHING_LOADED, VERSION, TAGS, NOTHING_LOADED])
    runtime = a_runtime(replay)
    probe = await runtime.probe(ENDPOINT)
    assert probe.version == "0.32.15"
    assert probe.loaded == frozenset()
    assert await runtime.probe(ENDPOINT) == probe
    assert replay.left == []


async def test_every_spelling_of_a_listed_model_is_known() -> None:
    """Ollama, ordinary: no tag means :latest, and case does not matter (020f, 020j)."""
    probe = await a_runtime(Replay([HEALTHZ, VERSION, TAGS, NOTHING_LOADED])).probe(ENDPOINT)
    assert probe.models is not None
    for name in ("smollm2:135m", "SmolLM2:135M", "phi3-mini-4k", "phi3-mini-4k:latest", "llama3.1-8b-instruct"):
        assert name in probe.models
    for other in ("smollm2", "smollm2:latest", "phi3-mini-4k:135m", "", 7):
        assert other not in probe.models


def test_a_registry_with_a_port_is_no_tag() -> None:
    names = ModelNames(["registry.example:5000/team/Tiny", "", "x:1b"])
    assert "registry.example:5000/team/tiny:latest" in names
    assert sorted(names) == [
        "registry.example:5000/team/tiny",
        "registry.example:5000/team/tiny:latest",
        "x:1b",
    ]


async def test_aliases_of_a_loaded_model_are_loaded_too() -> None:
    """Ollama #24: they share one runner, and only the name that was loaded first is shown."""
    shown = exchange("050p_ps_alias")  # phi3-mini-4k was asked for last
    assert [model["name"] for model in shown.answer["models"]] == ["smollm2:135m"]
    probe = await a_runtime(Replay([HEALTHZ, VERSION, TAGS, shown])).probe(ENDPOINT)
    assert probe.loaded is not None
    assert {"smollm2:135m", "phi3-mini-4k", "llama3.1-8b-instruct"} <= probe.loaded
    assert "smollm2-native:135m" not in probe.loaded


async def test_a_probe_says_nothing_about_generation() -> None:
    """Ollama #12: while a runner is frozen, all of this stays 200, so nothing here may count as progress."""
    frozen = [HEALTHZ, exchange("053g_runner_frozen_version"), TAGS, exchange("053f_runner_frozen_ps")]
    probe = await a_runtime(Replay(frozen)).probe(ENDPOINT)
    assert (probe.running, probe.tokens_total) == (None, None)


async def test_a_probe_never_loads_a_model() -> None:
    replay = Replay([HEALTHZ, VERSION, TAGS, ONE_LOADED])
    await a_runtime(replay).probe(ENDPOINT)
    assert {request.method for request in replay.requests} == {"GET"}


async def test_a_model_whose_file_is_gone_is_still_listed() -> None:
    """Ollama #23: so a probe that lists it proves nothing, and the call's error is one that no probe clears."""
    probe = await a_runtime(
        Replay([HEALTHZ, VERSION, exchange("094b_blob_missing_tags"), exchange("094d_blob_missing_ps")])
    ).probe(ENDPOINT)
    assert probe.models is not None
    assert "smollm2:135m" in probe.models
    assert isinstance(await failed("094_blob_missing_chat"), ModelUnusableError)


async def test_a_health_path_that_answers_is_enough_and_the_version_is_a_bonus() -> None:
    for answered in (VERSION, says("/api/version", "no", 500), says("/api/version", "[]"), says("/api/version", "?")):
        replay = Replay([says("/live", "ok"), answered, TAGS, NOTHING_LOADED])
        probe = await a_runtime(replay, health_path="/live").probe(ENDPOINT)
        assert probe.version == ("0.32.15" if answered is VERSION else None)
        assert probe.models is not None


async def test_a_gateway_that_hides_the_version_is_asked_for_its_root() -> None:
    """Servers of Ollama's kind, and proxies that let few routes through, have no version to tell."""
    probe = await a_runtime(Replay([HEALTHZ, NO_VERSION, exchange("001_get_root"), TAGS, NOTHING_LOADED])).probe(
        ENDPOINT
    )
    assert probe.version is None
    assert probe.models is not None


@pytest.mark.parametrize("name", ["009b_host_header_foreign", "009d_host_header_container_name"])
async def test_a_host_name_that_it_does_not_answer_to_is_a_matter_of_configuration(name: str) -> None:
    """Ollama #21: 403, no body, no content type, for `ollama:11434` in docker compose too."""
    guarded = replace(exchange(name), path="/healthz")
    with pytest.raises(UnauthorizedError, match=r"host name.*IP address.*OLLAMA_HOST"):
        await a_runtime(Replay([guarded])).probe(ENDPOINT)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([says("/healthz", "", 500)], ServerFailedError),
        ([says("/healthz", "who are you", 401)], UnauthorizedError),
        ([HEALTHZ, NO_VERSION, says("/", "404 page not found", 404)], ServerFailedError),
        ([HEALTHZ, says("/api/version", "<html>login</html>")], BrokenStreamError),
        ([HEALTHZ, says("/api/version", '{"build":1}')], BrokenStreamError),
    ],
)
async def test_what_is_not_well_or_not_ollama_fails_the_probe(script: list[Exchange], kind: type[AttemptError]) -> None:
    with pytest.raises(kind):
        await a_runtime(Replay(script)).probe(ENDPOINT)


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "null", '"x"', "{}", '{"models":7}', '{"error":{"a":1}}', '{"error":"[]"}']
)
@pytest.mark.parametrize("status", [200, 403, 404, 429, 500, 503])
async def test_lists_that_cannot_be_had_do_not_fail_the_probe(status: int, body: str) -> None:
    """Ollama, section 5; the client lets AttributeError and TypeError out for JSON that is no object."""
    replay = Replay([HEALTHZ, VERSION, says("/api/tags", body, status), says("/api/ps", body, status)])
    probe = await a_runtime(replay).probe(ENDPOINT)
    assert (probe.version, probe.models, probe.loaded) == ("0.32.15", None, None)


async def test_a_listed_model_without_a_name_does_no_harm() -> None:
    replay = Replay([HEALTHZ, VERSION, says("/api/tags", '{"models":[{}]}'), says("/api/ps", '{"models":[{}]}')])
    probe = await a_runtime(replay).probe(ENDPOINT)
    assert (probe.models, probe.loaded) == (frozenset(), frozenset())


async def test_emptying_unloads_every_model_and_looks_again() -> None:
    """Ollama #24: one name is enough for all of its aliases."""
    two = json.dumps({"models": [{"model": "smollm2:135m"}, {"model": "all-minilm:22m"}, {}]})
    no_chat = replace(exchange("025g_chat_on_embed_model"), json=unload("all-minilm:22m").json)
    script = [says("/api/ps", two), unload("smollm2:135m"), no_chat, exchange("050f_ps_after_unload")]
    replay = Replay(script)
    assert await a_runtime(replay).reset_cache(ENDPOINT)
    assert replay.left == []


async def test_emptying_waits_for_a_model_in_use_but_not_for_ever() -> None:
    def script(looks: int) -> list[Exchange]:
        return [ONE_LOADED, unload("smollm2:135m"), *[ONE_LOADED] * looks]

    assert await a_runtime(Replay([*script(19), NOTHING_LOADED])).reset_cache(ENDPOINT)
    assert not await a_runtime(Replay(script(20))).reset_cache(ENDPOINT)


async def test_emptying_what_does_not_answer_is_an_error() -> None:
    with pytest.raises(ServerFailedError):
        await a_runtime(Replay([says("/api/ps", "", 500)])).reset_cache(ENDPOINT)
    nobody = Exchange("GET", "/api/ps", None, 200, (), b"")
    with pytest.raises(BrokenStreamError):
        await a_runtime(Replay([nobody])).reset_cache(ENDPOINT)
    assert UnreachableError.blames == BrokenStreamError.blames == "endpoint"
