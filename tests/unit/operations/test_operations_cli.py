"""`warm`, `tenant` and `canary` on the command line: what they print, and how they end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from router_mcp.cli.canary import part_of
from router_mcp.comparison import Tally
from router_mcp.errors import InvalidArgumentsError
from router_mcp.operations.canary import Canaries
from router_mcp.state.directory import StateDirectory
from router_mcp.state.window import add_counts
from tests.canaries import POLICY
from tests.unit.operations.test_learn import lines
from tests.unit.test_cli import run

# Nothing listens on port 9, so every runtime is down.
DOWN = POLICY.replace("http://gpu-next", "http://127.0.0.1:9/next").replace("http://gpu", "http://127.0.0.1:9")
EMBEDDED = """\
version: 1
runtimes: {own: {kind: embedded}}
models: {tiny: {runtime: own, context_window: 2048}}
tasks: {reasoning: {models: [tiny]}}
defaults: {task: reasoning}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a policy whose runtimes are down, and a state folder."""
    (tmp_path / "p.yaml").write_text(DOWN)
    monkeypatch.setenv("ROUTER_MCP_CONFIG", str(tmp_path / "p.yaml"))
    monkeypatch.setenv("ROUTER_MCP_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("router_mcp.operations.tenants.FOLLOWED_AFTER_S", 0.0)
    return tmp_path


class Shell:
    """Runs commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit code, and what came on stdout and stderr."""
        code = run(self._monkeypatch, *arguments)
        return code, *self._capsys.readouterr()

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Return what a command printed as JSON."""
        found, out, err = self.run(*arguments, "--json")
        assert found == code, err
        return json.loads(out)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


TEMPLATES = "version: 1\ntemplates: {t: {task: reasoning, system: be brief}}\n"


def test_warming_what_is_down_fails_and_says_so(shell: Shell, folder: Path) -> None:
    (folder / "w.yaml").write_text(TEMPLATES)
    report = shell.json("warm", "--templates", str(folder / "w.yaml"), code=1)
    assert report["outcomes"] == {"failed": 1}
    assert "cannot be reached" in report["results"][0]["detail"]
    code, out, err = shell.run("warm", "--templates", str(folder / "w.yaml"), "--tenant", "acme")
    assert code == 1
    assert "acme" in out
    assert "cannot be reached" in " ".join(err.split())


def test_where_no_cache_is_there_is_nothing_to_warm_and_that_is_no_failure(shell: Shell, folder: Path) -> None:
    (folder / "p.yaml").write_text(EMBEDDED)
    (folder / "w.yaml").write_text(TEMPLATES)
    report = shell.json("warm", "--templates", str(folder / "w.yaml"))
    assert report["outcomes"] == {"no_cache": 1}


def test_the_templates_that_ship_are_left_out_where_the_policy_lacks_their_tasks(shell: Shell, folder: Path) -> None:
    assert shell.json("warm")["outcomes"] == {"no_task": 2}  # nothing that the user asked for failed
    code, _, err = shell.run("warm")
    assert code == 0
    assert "The policy has no task 'summarisation' with models. Give templates" in " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "option"), [(("warm",), "--templates"), (("canary", "smoke", "big"), "--suite")], ids=["warm", "smoke"]
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "mine.yaml: cannot be read (No such file or directory). Give the right path with {option}."),
        ("version: 1\na: [", "mine.yaml:2: not valid YAML"),
        ("version: 1\nlatancy: {}\n", "mine.yaml:2: latancy: unknown key. "),
        ("version: 2\n", "mine.yaml:1: version: this should be 1 (it is 2)."),
        ("version: 1\ntemplates: {t: {task: cooking, prompt: hi}}\n", "mine.yaml:2: templates"),
    ],
    ids=["missing", "broken", "unknown", "newer", "template"],
)
def test_a_file_of_ones_own_is_refused_with_place_and_remedy(
    shell: Shell, folder: Path, command: tuple[str, ...], option: str, text: str | None, said: str
) -> None:
    if text is not None:
        (folder / "mine.yaml").write_text(text)
    code, _, err = shell.run(*command, option, str(folder / "mine.yaml"))
    assert code == 2
    assert said.format(option=option) in " ".join(err.split())


def test_templates_are_learnt_from_a_log(shell: Shell, folder: Path) -> None:
    (folder / "log").write_text("\n".join(lines(25, "acme")))
    assert shell.json("warm", "--learn", str(folder / "log"))["proposals"][0]["calls"] == 25
    code, out, _ = shell.run("warm", "--learn", str(folder / "log"), "--min-calls", "10")
    assert code == 0
    assert "learnt-1: # 25 calls" in out
    assert shell.run("warm", "--learn", str(folder / "none"))[0] == 2


def test_a_teardown_says_what_could_not_be_cleared_and_fails(shell: Shell, folder: Path) -> None:
    report = shell.json("tenant", "teardown", "acme", code=1)
    assert report["epoch"] == 1
    assert report["complete"] is False
    assert {each["outcome"] for each in report["endpoints"]} == {"unreachable"}
    code, out, _ = shell.run("tenant", "teardown", "acme")
    assert code == 1
    assert "epoch 2" in " ".join(out.split())


def test_names_are_shown_as_they_are(shell: Shell, folder: Path) -> None:
    (folder / "w.yaml").write_text(TEMPLATES)
    tenant = "[/red]a[bold]"  # what rich would take for its own
    assert tenant in shell.run("warm", "--templates", str(folder / "w.yaml"), "--tenant", tenant)[1]
    assert f"{tenant}: epoch 1. No call finds older prefixes." in shell.run("tenant", "teardown", tenant)[1]


def test_a_teardown_on_the_embedded_runtime_is_left_to_the_routers(shell: Shell, folder: Path) -> None:
    (folder / "p.yaml").write_text(EMBEDDED)
    report = shell.json("tenant", "teardown", "acme")
    assert report["complete"]
    assert report["endpoints"][0]["outcome"] == "by_routers"


def test_a_canary_whose_box_is_down_is_refused_by_its_suite(shell: Shell, folder: Path) -> None:
    assert shell.run("canary", "smoke", "big")[0] == 2  # not started
    started = shell.json("canary", "start", "big", "--share", "30%")
    assert (started["phase"], started["share"], started["candidate"]) == ("waiting", 0.3, "big-canary")
    report = shell.json("canary", "smoke", "big", code=1)
    assert report["phase"] == "refused"
    assert report["checks"][0]["passed"] is False
    code, out, err = shell.run("canary", "smoke", "big")
    assert code == 1
    assert "failed" in out
    assert "big-canary: refused; it gets no calls. The smoke suite failed: health of" in err
    assert err.endswith("Mend it, then test it again: `router-mcp canary smoke big`\n")
    code, _, err = shell.run("canary", "promote", "big")
    assert code == 1
    assert "- it was refused: The smoke suite failed" in err


def passed(folder: Path) -> Canaries:
    """Have a canary that passed its suite, without asking anyone."""
    environ = {"ROUTER_MCP_STATE": str(folder / "state")}
    canaries = Canaries(StateDirectory(folder / "state"), folder / "p.yaml", environ, lambda: 0.0)
    canaries.start("big", share=0.2, shadow=False)
    canaries.tested("big", ())
    return canaries


def counted(canaries: Canaries, wall: float) -> None:
    canary = canaries.get("big")
    assert canary is not None

    def tally() -> Tally:
        return Tally(attempts=100, tokens=100, writing_s=2.0, first_tokens={10: 100})

    tallies = {name: tally() for name in ("big", "big-canary")}
    add_counts(canaries.state, {canary.id: tallies}, wall, {canary.id: 120})


def test_a_promotion_from_the_patch_to_its_undoing(shell: Shell, folder: Path) -> None:
    canaries = passed(folder)
    code, out, err = shell.run("canary", "promote", "big", "--dry-run")
    assert code == 1
    assert out.startswith("--- a/p.yaml\n+++ b/p.yaml\n")
    assert "30 are needed" in " ".join(err.split())
    assert shell.json("canary", "promote", "big", "--dry-run", code=1)["objections"]
    counted(canaries, datetime.now(UTC).timestamp())
    code, out, _ = shell.run("canary", "promote", "big", "--dry-run")
    assert (code, (folder / "p.yaml").read_text()) == (0, DOWN)
    code, _, err = shell.run("canary", "promote", "big")
    assert code == 0
    assert "big-canary took its model's place in" in err
    assert err.endswith("To undo it: `router-mcp canary rollback big`\n")
    assert shell.json("canary", "promote", "big")["what"] == "promote"  # again: it is done
    status = shell.json("canary", "status")
    assert [past["what"] for past in status["history"]] == ["promote"]
    assert "is undone" in shell.json("canary", "rollback", "big")["done"]
    assert (folder / "p.yaml").read_text() == DOWN
    code, _, err = shell.run("canary", "rollback", "big")
    assert (code, "nothing to roll back" in " ".join(err.split())) == (0, True)
    code, _, err = shell.run("canary", "status", "big")
    assert "big-canary gave its model's place back in" in err


def test_the_status_shows_both_side_by_side(shell: Shell, folder: Path) -> None:
    code, _, err = shell.run("canary", "status")
    assert (code, "There is no canary" in err) == (0, True)
    canaries = passed(folder)
    counted(canaries, datetime.now(UTC).timestamp())
    [shown] = shell.json("canary", "status", "big")["canaries"]
    assert shown["comparison"]["candidate"] == {
        "calls": 100,
        "error_rate": 0.0,
        "first_token_p50_s": 0.004,
        "tokens_per_s": 50.0,
        "structured": 0,
        "structured_invalid_rate": 0.0,
    }
    assert shown["objections"] == []
    code, out, _ = shell.run("canary", "status", "big")
    assert [line.rstrip() for line in out.splitlines()] == [
        "big-canary: running; it gets 20% of calls",
        "in the window        model   canary",
        "─" * 36,
        "calls                100     100",
        "failed               0.0%    0.0%",
        "first token, median  0.00 s  0.00 s",
        "tokens a second      50.0    50.0",
        "structured answers   0       0",
        "invalid among them   –       –",
        "",
        "It may be promoted: `router-mcp canary promote big`",
    ]
    canaries.rollback("big")
    code, out, _ = shell.run("canary", "status", "big")
    assert out.startswith("big-canary: rolled back; it gets no calls. An operator rolled it back.\n")
    assert out.endswith("Mend it, then begin anew: `router-mcp canary start big`\n")


def test_a_rollback_of_a_name_that_was_mistyped_is_no_success(shell: Shell, folder: Path) -> None:
    passed(folder)
    code, _, err = shell.run("canary", "rollback", "bigg")
    assert code == 2
    assert "bigg has no canary that was started. Did you mean 'big'? There are: big. Run" in err
    assert shell.run("canary", "status", "bigg")[2] == (
        "bigg has no canary. Start one with `router-mcp canary start bigg`.\n"
    )


def test_a_canary_that_was_rolled_back_is_not_tested_in_vain(shell: Shell, folder: Path) -> None:
    passed(folder).rollback("big")
    code, out, err = shell.run("canary", "smoke", "big")
    assert (code, out) == (2, "")  # the boxes are down, and were not asked
    assert "Run `router-mcp canary start big` again first." in err


def test_a_change_that_was_interrupted_is_shown_with_what_ends_it(shell: Shell, folder: Path) -> None:
    class Crash(BaseException):
        pass

    def crash(reached: str) -> None:
        if reached == "intent":
            raise Crash

    canaries = passed(folder)
    counted(canaries, 0.0)
    with pytest.raises(Crash):
        replace(canaries, reached=crash).promote("big")
    _, out, _ = shell.run("canary", "status")
    assert out.startswith("big-canary: changing places with its model; it gets no calls\n")
    assert out.endswith("Bring that to its end: `router-mcp canary promote big` or `router-mcp canary rollback big`\n")
    assert (
        "the policy file is being changed for it"
        in shell.json("canary", "promote", "big", "--dry-run", code=1)["objections"]
    )


def test_what_a_start_means_is_said(shell: Shell, folder: Path) -> None:
    code, _, err = shell.run("canary", "start", "big", "--share", "0.25", "--shadow")
    assert code == 0
    assert err == (
        "big-canary: waiting for its smoke suite; then it gets copies of 25% of calls\n"
        "Next: `router-mcp canary smoke big`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("canary", "start", "big", "--share", "20"), "'20' is no share"),
        (("canary", "start", "big", "--share", "half"), "'half' is no share"),
        (("canary", "start", "small"), "small has no canary. Add a runtime 'laptop-canary'"),
        (("canary", "start", "none"), "there is no model 'none'"),
        (("canary", "promote", "big"), "Run `router-mcp canary start big` first"),
        (("canary", "rollback", "big"), "big has no canary that was started. Run"),
    ],
)
def test_wrong_use_says_what_to_do(shell: Shell, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = shell.run(*arguments)
    assert code == 2
    assert said in " ".join(err.split())


@pytest.mark.parametrize("name", ["policy", "warmup", "smoke"])
def test_each_file_has_a_schema_for_editors(shell: Shell, name: str) -> None:
    code, out, _ = shell.run("config", "schema", "--of", name)
    assert (code, json.loads(out)["additionalProperties"]) == (0, False)


def test_a_user_without_a_home_is_told_to_name_a_folder(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROUTER_MCP_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = shell.run("canary", "status")
    assert (code, "Set ROUTER_MCP_STATE" in " ".join(err.split())) == (2, True)


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("0.2", 0.2), ("20%", 0.2), ("1", 1.0), ("100%", 1.0)])
def test_a_share_is_a_part_of_one_or_a_percentage(text: str, share: float) -> None:
    assert part_of(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["-1", "nan", "%", "200%", "inf"])
def test_everything_else_is_no_share(text: str) -> None:
    with pytest.raises(InvalidArgumentsError):
        part_of(text)
