"""`router-mcp generate` and `router-mcp structured`: one call from the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from router_mcp.cli.session import ConfigOption, JsonOption, TaskOption, read_file, read_prompt, with_router
from router_mcp.cli.terminal import print_json, result_json, show_receipt, stderr
from router_mcp.domain import Choices, Constraint, GenerateRequest, GenerateResult, Grammar, JsonSchema, Regex
from router_mcp.errors import InvalidArgumentsError, RouterError, SchemaInvalidError
from router_mcp.router import Router
from router_mcp.stream import Attention

PromptArgument = Annotated[str, typer.Argument(help="The prompt, or - to read it from stdin.")]
SystemOption = Annotated[str | None, typer.Option("--system", help="Instructions that rule the answer.")]
TemperatureOption = Annotated[float | None, typer.Option("--temperature", min=0, max=2, help="Default: the task's.")]
LimitOption = Annotated[int | None, typer.Option("--max-output-tokens", min=1, help="Most tokens of the answer.")]
TimeoutOption = Annotated[float | None, typer.Option("--timeout", min=0.001, help="Seconds; may only shorten.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Pin one model of the catalog.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Whose call it is.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, model and prompt: same answer.")]


def generate(
    prompt: PromptArgument,
    task: TaskOption = None,
    system: SystemOption = None,
    temperature: TemperatureOption = None,
    max_output_tokens: LimitOption = None,
    timeout: TimeoutOption = None,
    model: ModelOption = None,
    tenant: TenantOption = None,
    seed: SeedOption = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Show the text as it comes.")] = True,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Generate text with the model that the policy picks; the answer on stdout, the receipt on stderr."""
    request = GenerateRequest(
        prompt=read_prompt(prompt),
        task=task,
        system=system,
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        timeout_s=timeout,
        model=model,
        tenant=tenant,
        seed=seed,
    )
    live = stream and not as_json and sys.stdout.isatty()
    result = _run(config, request, _Echo() if live else None)
    if as_json:
        print_json(result_json(result))
        return
    sys.stdout.write("\n" if live else f"{result.text}\n")
    sys.stdout.flush()
    show_receipt(result.receipt, result)


def structured(
    prompt: PromptArgument,
    task: TaskOption = None,
    schema: Annotated[Path | None, typer.Option("--schema", help="File with a JSON Schema.")] = None,
    choices: Annotated[str | None, typer.Option("--choices", help="Comma-separated texts.")] = None,
    regex: Annotated[str | None, typer.Option("--regex", help="A pattern for the whole answer.")] = None,
    grammar: Annotated[Path | None, typer.Option("--grammar", help="File with a grammar (EBNF or Lark).")] = None,
    system: SystemOption = None,
    temperature: TemperatureOption = None,
    max_output_tokens: LimitOption = None,
    timeout: TimeoutOption = None,
    model: ModelOption = None,
    tenant: TenantOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Generate data that satisfies a constraint; the data as JSON on stdout, the receipt on stderr."""
    request = GenerateRequest(
        prompt=read_prompt(prompt),
        constraint=_constraint(schema, choices, regex, grammar),
        task=task,
        system=system,
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        timeout_s=timeout,
        model=model,
        tenant=tenant,
        seed=seed,
    )
    result = _run(config, request, None)
    print_json(result_json(result, structured=True) if as_json else result.data)
    if not as_json:
        show_receipt(result.receipt, result)


class _Echo(Attention):
    """Shows the text of an attempt as it comes, and says when what was shown does not count."""

    def __init__(self) -> None:
        super().__init__(on_text=self._write, on_restart=self._restart)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    @staticmethod
    def _restart(why: str) -> None:
        sys.stdout.write("\n")
        sys.stdout.flush()
        stderr().print(f"[yellow]— begun anew: {why}[/yellow]")


def _run(config: Path | None, request: GenerateRequest, attention: Attention | None) -> GenerateResult:
    async def work(router: Router) -> GenerateResult:
        return await router.generate(request, attention)

    try:
        return with_router(config, work)
    except RouterError as error:
        if error.receipt is not None:
            show_receipt(error.receipt, None)
        raise


def _constraint(schema: Path | None, choices: str | None, regex: str | None, grammar: Path | None) -> Constraint:
    given: list[Constraint] = []
    if schema is not None:
        given.append(JsonSchema(_schema(schema)))
    if choices is not None:
        given.append(Choices(tuple(choice.strip() for choice in choices.split(","))))
    if regex is not None:
        given.append(Regex(regex))
    if grammar is not None:
        given.append(Grammar(read_file(grammar, "grammar")))
    if len(given) != 1:
        raise InvalidArgumentsError("Give exactly one of --schema, --choices, --regex and --grammar.")
    return given[0]


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(read_file(path, "schema"))
    except ValueError as error:
        raise SchemaInvalidError(f"{path}: not JSON ({error}).") from None
    if not isinstance(schema, dict):
        raise SchemaInvalidError(f"{path}: a JSON Schema is an object.")
    return schema
