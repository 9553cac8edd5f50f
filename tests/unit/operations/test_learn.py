"""Templates are learnt from a log of beginnings, and text is kept of those alone who consented."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from router_mcp.config.warmup_file import load_warmup
from router_mcp.domain import GenerateRequest, Message
from router_mcp.edge.logs import configure_logging
from router_mcp.operations.learn import learn, proposal
from router_mcp.telemetry.prefix_log import PrefixLog, prefix_log
from tests.houses import make_policy, open_house

SYSTEM = "You sort tickets by how urgent they are, and you say why in one sentence. " * 8
LOG = PrefixLog(frozenset({"acme", "-"}), b"secret")


def lines(count: int, tenant: str | None, system: str = SYSTEM, task: str = "reasoning") -> list[str]:
    requests = [GenerateRequest(prompt=f"Ticket: {n} ${{HOME}}", system=system, tenant=tenant) for n in range(count)]
    return [json.dumps(LOG.fields(request, task)) for request in requests]


def test_of_those_who_consented_text_is_kept_and_of_others_only_that_calls_begin_alike() -> None:
    request = GenerateRequest(prompt="secret prompt", system=SYSTEM, tenant="globex")
    kept = LOG.fields(request, "triage")
    assert kept.keys() == {"task", "digests"}
    assert list(kept["digests"]) == ["256", "512"]
    assert "sort tickets" not in json.dumps(kept)
    assert "globex" not in json.dumps(kept)
    theirs = LOG.fields(GenerateRequest(prompt="hi", system=SYSTEM, tenant="acme"), "triage")
    assert theirs["beginning"] == f"{SYSTEM}\0hi"


def test_a_digest_tells_nothing_without_the_servers_secret() -> None:
    request = GenerateRequest(prompt="", system=SYSTEM)
    other = PrefixLog(frozenset(), b"another").fields(request, "t")["digests"]
    assert not set(LOG.fields(request, "t")["digests"].values()) & set(other.values())
    assert (
        LOG.fields(request, "t")["digests"]
        != LOG.fields(GenerateRequest(prompt="", system=SYSTEM, tenant="acme"), "t")["digests"]
    )


def test_what_is_proposed_is_a_templates_file_with_what_calls_share(tmp_path: Path) -> None:
    learnt = learn([*lines(30, "acme"), *lines(3, None), "no JSON", '{"message": "call"}'], min_calls=20)
    assert learnt.calls == 33
    [best] = learnt.beginnings
    assert (best.task, best.calls, best.tenant, best.system) == ("reasoning", 30, "acme", SYSTEM)
    assert best.prompt == "Ticket: "
    path = tmp_path / "learnt.yaml"
    path.write_text(proposal(learnt))
    [template] = load_warmup(path, {}, make_policy()).templates.values()
    assert (template.system, template.prompt, template.tenants) == (SYSTEM, "Ticket: ", ("acme",))


def test_variables_in_what_callers_sent_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "learnt.yaml"
    path.write_text(proposal(learn(lines(20, "acme", SYSTEM + "${HOME}"), min_calls=20)))
    [template] = load_warmup(path, {"HOME": "/root"}, make_policy()).templates.values()
    assert template.system == SYSTEM + "${HOME}"


def test_frequent_calls_of_those_who_did_not_consent_are_only_counted() -> None:
    text = proposal(learn(lines(25, "globex"), min_calls=20))
    assert "templates: {}" in text
    assert "25 calls of task reasoning begin alike for 512 characters" in text
    assert "sort tickets" not in text


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([], "# The log says of no call how it began: have the server log that"),
        (["no JSON"], "# The log says of no call how it began: have the server log that"),
        (lines(19, "globex"), "# No 20 of them begin alike. Ask for fewer (--min-calls)"),
    ],
    ids=["empty", "another", "short"],
)
def test_a_log_that_teaches_nothing_says_why(log: list[str], said: str) -> None:
    text = proposal(learn(log, min_calls=20))
    assert "templates: {}\n" in text
    assert said in text


def test_rare_beginnings_are_not_proposed_and_short_ones_only_where_calls_part_ways() -> None:
    assert learn(lines(19, "acme"), min_calls=20).beginnings == ()
    half = SYSTEM[:300]
    parted = [*lines(15, "acme", half + "a" * 300), *lines(15, "acme", half + "b" * 300)]
    [short] = learn(parted, min_calls=20).beginnings
    assert (short.calls, short.system) == (30, half)
    assert [each.calls for each in learn(parted, min_calls=10).beginnings] == [15, 15]


@pytest.fixture
def log() -> Generator[io.StringIO]:
    """Log as `serve --log-format json` does."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("json", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level


@pytest.mark.anyio
async def test_the_log_is_written_only_by_consent_and_only_for_first_turns(log: io.StringIO) -> None:
    assert prefix_log({}) == ()
    [listener] = prefix_log({"ROUTER_MCP_LEARN": "acme, -", "ROUTER_MCP_SALT_SECRET": "s"})
    assert listener.consenting == {"acme", "-"}
    async with open_house(telemetry=listener) as house:
        await house.router.generate(GenerateRequest(prompt="short"))
        later = (Message(role="user", content="x"),)
        await house.router.generate(GenerateRequest(prompt="hi", system=SYSTEM, history=later))
        await house.router.generate(GenerateRequest(prompt="hi", system=SYSTEM))
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    written = [line for line in written if line["logger"] == "router_mcp.prefixes"]
    assert len(written) == 1
    assert written[0]["beginning"].startswith(SYSTEM)
    assert learn([json.dumps(each) for each in written * 20], min_calls=20).beginnings[0].system == SYSTEM
