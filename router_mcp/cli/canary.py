"""`router-mcp canary`: try a new runtime beside the old one, compare them, and let it take over, or not."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from router_mcp.cli import canary_view
from router_mcp.cli.session import ConfigOption, JsonOption, with_router
from router_mcp.cli.terminal import complain, print_json, say, stderr, stdout
from router_mcp.config import default_path, load_config, shipped
from router_mcp.config.smoke_file import load_smoke
from router_mcp.errors import ConfigError, InvalidArgumentsError
from router_mcp.operations.canary import Canaries, Comparison
from router_mcp.operations.smoke import Check, SmokeSuite
from router_mcp.router import Router
from router_mcp.state.directory import state_directory
from router_mcp.state.files import Canary

app = typer.Typer(help="Try a model's canary, compare the two, and let it take over, or not.", no_args_is_help=True)
ModelArgument = Annotated[str, typer.Argument(help="The model of the catalog that the canary may replace.")]


@app.command()
def start(
    model: ModelArgument,
    share: Annotated[str | None, typer.Option(help="Part of the calls: 0.2 or 20%. Default: rollout.share.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only send it copies of calls.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start a canary, or change its share; it gets calls once its smoke suite has passed."""
    canaries = _canaries(config)
    canary = canaries.start(model, share=None if share is None else part_of(share), shadow=shadow)
    _show(canaries, model, canary, as_json)


@app.command()
def smoke(
    model: ModelArgument,
    suite: Annotated[Path | None, typer.Option("--suite", help="Default: the file that ships.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run the smoke suite on a canary that was started; when all of it passes, it gets its share. Exit 1 if not."""
    canaries = _canaries(config)
    checks = load_smoke(suite or shipped("router/smoke.yaml"), os.environ)
    candidate = canaries.testable(model).candidate

    async def work(router: Router) -> list[Check]:
        with stderr().status("testing") as shown:
            return await SmokeSuite(router, checks, model, candidate).run(
                lambda check: shown.update(f"{check.name}: {'passed' if check.passed else 'failed'}")
            )

    done = with_router(config, work)
    canary = canaries.tested(model, tuple(check.name for check in done if not check.passed))
    if as_json:
        print_json({**_fields(canaries, model, canary), "checks": [asdict(check) for check in done]})
    else:
        stdout().print(canary_view.checks(done))
        _show(canaries, model, canary, as_json)
    if not all(check.passed for check in done):
        raise typer.Exit(1)


@app.command()
def promote(
    model: ModelArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the patch; change nothing.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a canary take its model's place in the policy file, if it passed its suite and keeps its limits.

    Exit 1 when it may not. With --dry-run the patch is printed, and what speaks against it on stderr.
    """
    canaries = _canaries(config)
    if dry_run:
        patch, against = canaries.patch(model)
        if as_json:
            print_json({"model": model, "patch": patch, "objections": list(against)})
        else:
            typer.echo(patch, nl=False)
            for each in against:
                complain(each)
        raise typer.Exit(1 if against else 0)
    past = canaries.promote(model)
    if as_json:
        print_json(past.model_dump())
    else:
        say(canary_view.past(past))
        say(f"To undo it: `router-mcp canary rollback {model}`")


@app.command()
def rollback(model: ModelArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Take a canary's calls away at once, or undo its promotion."""
    canaries = _canaries(config)
    said = canaries.rollback(model)
    if as_json:
        print_json({"model": model, "done": said})
    else:
        say(said)


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="Default: all.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show canaries: where they stand, how they do beside their models, and what was promoted before."""
    canaries = _canaries(config)
    known = canaries.known()
    wanted = {name: each for name, each in known.canaries.items() if model in {None, name}}
    if as_json:
        history = [past.model_dump() for past in known.history if model in {None, past.model}]
        print_json({"canaries": [_fields(canaries, *each) for each in wanted.items()], "history": history})
        return
    for name, canary in wanted.items():
        compared = _compared(canaries, name, canary)
        console, after = stdout(), canary_view.next_step(name, canary, compared.objections)
        console.print(Text(canary_view.standing(canary)), soft_wrap=True)
        console.print(canary_view.comparison(compared))
        console.print(Text(after), soft_wrap=True)
    if not wanted:
        said = f"{model} has no canary" if model else "There is no canary"
        say(f"{said}. Start one with `router-mcp canary start {model or 'MODEL'}`.")
    for past in known.history:
        if model in {None, past.model}:
            say(canary_view.past(past))


def part_of(text: str) -> float:
    """Return a share as a part of one; `20%` and `0.2` are the same."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InvalidArgumentsError(f"{text!r} is no share. Give a part of one or a percentage, such as 0.2 or 20%.")
    return share


def _canaries(config: Path | None) -> Canaries:
    state = state_directory(os.environ)
    if state is None:
        raise ConfigError("There is no state folder to keep canaries in. Set ROUTER_MCP_STATE to one.")
    return Canaries(state, config or default_path(), os.environ, lambda: datetime.now(UTC).timestamp())


def _show(canaries: Canaries, model: str, canary: Canary, as_json: bool) -> None:
    if as_json:
        print_json(_fields(canaries, model, canary))
    else:
        say(canary_view.standing(canary))
        say(canary_view.next_step(model, canary, _compared(canaries, model, canary).objections))


def _compared(canaries: Canaries, model: str, canary: Canary) -> Comparison:
    return canaries.compare(model, canary, load_config(canaries.path))


def _fields(canaries: Canaries, model: str, canary: Canary) -> dict[str, Any]:
    compared = _compared(canaries, model, canary)
    return {
        "model": model,
        **canary.model_dump(exclude={"id"}),
        "comparison": {
            "model": canary_view.numbers(compared.model),
            "candidate": canary_view.numbers(compared.candidate),
        },
        "objections": list(compared.objections),
    }
