"""Reads prompts before anyone waits for them: on each replica that calls with this beginning go to, salted as they are.

Each prompt is read twice. The first reading shows what a caller would have waited, the second what one waits now and
how many tokens came out of the cache, as the server counts them. One call at a time is made of an endpoint, and
none while it is busy with callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

from router_mcp import affinity
from router_mcp.config.warmup_file import Template, WarmupFile
from router_mcp.domain import Endpoint, GenerateRequest, JsonSchema
from router_mcp.errors import AttemptError
from router_mcp.fleet import Fleet
from router_mcp.operations.draft import draft
from router_mcp.operations.prefix_reading import Reading, probe_once, read_prompt
from router_mcp.router import Router

LOOK_EVERY_S = 1.0
"""Seconds between looks at a busy endpoint."""

Outcome = Literal["warmed", "was_warm", "not_cached", "unverified", "busy", "failed", "no_cache", "no_task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """What came of one beginning on one endpoint. Times are in seconds."""

    template: str
    tenant: str | None
    model: str
    endpoint: str
    outcome: Outcome
    input_tokens: int | None = None
    cached_tokens: int | None = None
    """Tokens of the prompt that the next call finds in the cache."""
    warmed_tokens: int | None = None
    """Those among them that were not there before."""
    first_token_before_s: float | None = None
    first_token_after_s: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One beginning for one tenant."""

    name: str
    template: Template
    tenant: str | None
    model: str

    @property
    def request(self) -> GenerateRequest:
        """The call that a caller would make."""
        shape = self.template.json_schema
        return GenerateRequest(
            prompt=self.template.prompt,
            system=self.template.system,
            task=self.template.task,
            tenant=self.tenant,
            constraint=JsonSchema(shape) if shape is not None else None,
        )

    def result(self, endpoint: str, outcome: Outcome, detail: str | None = None) -> Warmth:
        """Return that nothing was read, and why."""
        return Warmth(
            template=self.name, tenant=self.tenant, model=self.model, endpoint=endpoint, outcome=outcome, detail=detail
        )


async def warm(
    router: Router, file: WarmupFile, *, tenant: str | None, everywhere: bool, tell: Callable[[Warmth], None]
) -> list[Warmth]:
    """Warm every template, for its own tenants or for one that is named; `tell` hears each result as it comes."""
    found: list[Warmth] = []

    def note(result: Warmth) -> None:
        found.append(result)
        tell(result)

    work: dict[Endpoint, list[Job]] = {}
    for job in jobs(router.fleet, file, tenant):
        endpoints = replicas(router.fleet, job, everywhere=everywhere) if job.model else ()
        if not endpoints:
            note(_nothing_to_warm(router.fleet, job))
        for endpoint in endpoints:
            work.setdefault(endpoint, []).append(job)
    async with anyio.create_task_group() as tasks:
        for endpoint, its_jobs in work.items():
            tasks.start_soon(_endpoint, router, file, endpoint, its_jobs, note)
    return found


def jobs(fleet: Fleet, file: WarmupFile, tenant: str | None) -> list[Job]:
    """Return what there is to warm; a job without a model is one that no vLLM serves."""
    return [
        Job(name, template, each, _model(fleet, template))
        for name, template in file.templates.items()
        for each in ((tenant,) if tenant else template.tenants or (None,))
    ]


def _model(fleet: Fleet, template: Template) -> str:
    if template.task not in fleet.policy.generative_tasks():
        return ""
    named = (template.model,) if template.model else fleet.policy.tasks[template.task].models
    return next((name for name in named if fleet.policy.runtime_of(name).kind == "vllm"), "")


def _nothing_to_warm(fleet: Fleet, job: Job) -> Warmth:
    task = job.template.task
    if task in fleet.policy.generative_tasks():
        return job.result("", "no_cache", f"No model of task {task!r} runs on vLLM, so there is nothing to warm.")
    detail = f"The policy has no task {task!r} with models. Give templates for the tasks that it has with --templates."
    return job.result("", "no_task", detail)


def replicas(fleet: Fleet, job: Job, *, everywhere: bool) -> Sequence[Endpoint]:
    """Return where calls with this beginning go: one replica, or all when what follows the beginning decides."""
    runtime = fleet.policy.models[job.model].runtime
    request = job.request
    if everywhere or not affinity.is_settled(request.prompt):
        return fleet.endpoints_of(runtime)
    key = affinity.prefix_key(request.tenant, request.system, request.prompt)
    return (next(fleet.ring(runtime).walk(key)),)


async def _endpoint(
    router: Router, file: WarmupFile, endpoint: Endpoint, work: Iterable[Job], note: Callable[[Warmth], None]
) -> None:
    for job in work:
        try:
            if await _is_free(router, file, endpoint):
                note(await _warm(router, endpoint, job))
            else:
                detail = f"{endpoint} was busy for {file.patience:g} s. Warm at a quieter hour, or raise max_running."
                note(job.result(endpoint.url, "busy", detail))
        except AttemptError as error:
            note(job.result(endpoint.url, "failed", str(error)))


async def _is_free(router: Router, file: WarmupFile, endpoint: Endpoint) -> bool:
    """Wait until an endpoint runs few enough calls of callers, and tell whether it came to that."""
    until = anyio.current_time() + file.patience
    while True:
        running = (await probe_once(router, endpoint)).running
        if running is None or running <= file.max_running:
            return True
        if anyio.current_time() >= until:
            return False
        await anyio.sleep(LOOK_EVERY_S)


async def _warm(router: Router, endpoint: Endpoint, job: Job) -> Warmth:
    call = draft(router, job.request, job.template.task, job.model, endpoint)
    limit_s = router.fleet.policy.deadline(job.template.task)
    before = await read_prompt(router, call, limit_s)
    after = await read_prompt(router, call, limit_s)
    outcome, detail = _judge(before, after)
    warmed = None if before.hits is None or after.hits is None else max(0, after.hits - before.hits)
    return Warmth(
        template=job.name,
        tenant=job.tenant,
        model=job.model,
        endpoint=endpoint.url,
        outcome=outcome,
        input_tokens=after.input_tokens,
        cached_tokens=after.hits,
        warmed_tokens=warmed,
        first_token_before_s=round(before.first_token_s, 4),
        first_token_after_s=round(after.first_token_s, 4),
        detail=detail,
    )


def _judge(before: Reading, after: Reading) -> tuple[Outcome, str | None]:
    if after.hits is None:
        return "unverified", "The counters did not speak for this call alone: others were at work, or there are none."
    if after.hits == 0:
        return "not_cached", "Nothing was kept: the prompt is shorter than a block, or prefix caching is off."
    if before.hits is not None and before.hits >= after.hits:
        return "was_warm", None
    return "warmed", None
