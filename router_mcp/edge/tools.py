"""The router's tools: arguments become a request, a result becomes text and structured content.

Text and structured content each carry the whole answer, because clients hand a model only one of the two
(mcp-sdk.md finding 4). Every `RouterError` becomes an error result in `edge.arguments`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent

from router_mcp import status
from router_mcp.domain import Choices, Constraint, GenerateRequest, GenerateResult, Grammar, JsonSchema, Message, Regex
from router_mcp.edge import parameters as p
from router_mcp.edge.app import App
from router_mcp.edge.guard import principal_of
from router_mcp.edge.outputs import (
    Generated,
    ModelsOutput,
    Output,
    PlanOutput,
    Structured,
    model_output,
    plan_output,
    served_fields,
)
from router_mcp.edge.overview import overview
from router_mcp.edge.page import STATUS_KEY
from router_mcp.edge.progress import heartbeats
from router_mcp.edge.receipt import route_meta
from router_mcp.edge.tenant import tenant_of
from router_mcp.edge.trace import current_traceparent
from router_mcp.edge.unicode import well_formed
from router_mcp.edge.waiting import Waiting
from router_mcp.errors import InvalidArgumentsError
from router_mcp.stream import Attention

ROUTE_KEY = "router-mcp/route"


async def generate(  # noqa: PLR0913, PLR0917 - these are the tool's arguments
    ctx: Context[App],
    prompt: p.Prompt,
    task: p.Task = None,
    system: p.System = None,
    history: p.History = None,
    temperature: p.Temperature = None,
    max_output_tokens: p.MaxOutputTokens = None,
    stop: p.Stop = None,
    seed: p.Seed = None,
    timeout_s: p.TimeoutS = None,
    tenant: p.Tenant = None,
    model: p.Model = None,
    idempotency_key: p.IdempotencyKey = None,
) -> Annotated[CallToolResult, Generated]:
    """Generate text with a model that runs on your own machines; the task decides which.

    Good for drafting, summarising, classifying, extracting and reasoning over text that you give in the
    prompt. The model has no tools, no files and no memory of earlier calls. If the first model cannot
    serve, a fallback does, and the result says so. Use structured_generate when you need JSON.
    """
    request = GenerateRequest(
        prompt=prompt,
        task=task,
        system=system,
        history=_turns(history),
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        stop=tuple(stop or ()),
        seed=seed,
        timeout_s=timeout_s,
        tenant=tenant_of(ctx, tenant),
        model=model,
        traceparent=current_traceparent(),
    )
    result = await _run(ctx, request, idempotency_key)
    text = well_formed(result.text)  # half a surrogate pair would end a stdio session
    output = Generated(text=text, **served_fields(result))
    return _answer(text, output, {ROUTE_KEY: route_meta(result.receipt)})


async def structured_generate(  # noqa: PLR0913, PLR0917 - these are the tool's arguments
    ctx: Context[App],
    prompt: p.Prompt,
    json_schema: p.JsonSchemaArgument = None,
    choices: p.ChoicesArgument = None,
    regex: p.RegexArgument = None,
    grammar: p.GrammarArgument = None,
    task: p.Task = None,
    system: p.System = None,
    history: p.History = None,
    temperature: p.Temperature = None,
    max_output_tokens: p.MaxOutputTokens = None,
    stop: p.Stop = None,
    seed: p.Seed = None,
    timeout_s: p.TimeoutS = None,
    tenant: p.Tenant = None,
    model: p.Model = None,
    idempotency_key: p.IdempotencyKey = None,
) -> Annotated[CallToolResult, Structured]:
    """Generate data that satisfies a constraint: exactly one of json_schema, choices, regex or grammar.

    The model's decoding is constrained where the runtime can, the answer is always checked, repaired or
    asked of another model when it is wrong; what comes back as a success is valid. Keep schemas small and
    describe their fields: the descriptions reach the model.
    """
    request = GenerateRequest(
        prompt=prompt,
        constraint=_constraint(json_schema, choices, regex, grammar),
        task=task,
        system=system,
        history=_turns(history),
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        stop=tuple(stop or ()),
        seed=seed,
        timeout_s=timeout_s,
        tenant=tenant_of(ctx, tenant),
        model=model,
        traceparent=current_traceparent(),
    )
    result = await _run(ctx, request, idempotency_key)
    output = Structured(data=result.data, attempts=result.attempts, **served_fields(result))
    return _answer(_json(result.data), output, {ROUTE_KEY: route_meta(result.receipt)})


async def list_models(ctx: Context[App]) -> Annotated[CallToolResult, ModelsOutput]:
    """List the models, what each is for, how well it is now, and the tasks that you can name."""
    app = _app(ctx)
    policy = app.router.fleet.policy
    output = ModelsOutput(
        models=[model_output(model) for model in status.models(app.router, app.clock())],
        tasks=list(policy.tasks),
        default_task=policy.defaults.task,
    )
    lines = [
        f"{model.name}: {model.state}, {model.context_window} tokens, tasks: {', '.join(model.tasks) or 'none'}"
        + (f" ({model.error})" if model.error else "")
        for model in output.models
    ]
    seen = overview(app.router, app.history, app.clock(), app.started) if client_supports_apps(ctx) else None
    return _answer("\n".join(lines), output, {STATUS_KEY: seen} if seen else None)


async def explain_route(
    ctx: Context[App], task: p.Task = None, input_tokens: p.InputTokens = None
) -> Annotated[CallToolResult, PlanOutput]:
    """Tell which models would be tried for a task now, in which order and why, without running anything."""
    router = _app(ctx).router
    plan = router.explain(GenerateRequest(prompt="", task=task), input_tokens)
    output = plan_output(plan, router.fleet.policy)
    lines = [f"{step.order}. {step.model} on {step.runtime}: {step.reason}" for step in output.plan]
    lines += [f"not {skip.model}: {skip.reason}" for skip in output.skipped]
    return _answer("\n".join(lines), output)


def _app(ctx: Context[App]) -> App:
    return ctx.request_context.lifespan_context


async def _run(ctx: Context[App], request: GenerateRequest, key: str | None) -> GenerateResult:
    app = _app(ctx)
    if key is not None:
        joined = app.joined.join(principal_of(ctx), key, request)
        async with heartbeats(ctx, Waiting(joined.run.attention, app.router.book)):
            return await joined.outcome()
    attention = Attention()
    async with heartbeats(ctx, Waiting(attention, app.router.book)):
        return await app.router.generate(request, attention)


def _turns(history: list[p.Turn] | None) -> tuple[Message, ...]:
    return tuple(Message(role=turn.role, content=turn.content) for turn in history or ())


def _constraint(
    json_schema: dict[str, Any] | None, choices: list[str] | None, regex: str | None, grammar: str | None
) -> Constraint:
    given: list[Constraint] = []
    if json_schema is not None:
        given.append(JsonSchema(json_schema))
    if choices is not None:
        given.append(Choices(tuple(choices)))
    if regex is not None:
        given.append(Regex(regex))
    if grammar is not None:
        given.append(Grammar(grammar))
    if len(given) != 1:
        raise InvalidArgumentsError(
            f"structured_generate takes exactly one of json_schema, choices, regex and grammar; {len(given)} were "
            "given. Give one."
        )
    return given[0]


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _answer(text: str, output: Output, meta: dict[str, Any] | None = None) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], structured_content=output.wire(), _meta=meta)
