"""The smoke suite: what a candidate must show before it gets a call of anyone's.

Prompts and schemas go through the router, as calls do, with the candidate pinned. What callers cannot ask for (a
prompt that is too long, a call that is given up) is asked of its endpoints directly.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import anyio

from router_mcp.config.smoke_file import PromptCheck, SmokeFile, StructuredCheck
from router_mcp.domain import Call, Endpoint, GenerateRequest, GenerateResult, JsonSchema
from router_mcp.errors import ContextTooLongError, RouterError
from router_mcp.operations.draft import draft, marker_text
from router_mcp.operations.prefix_reading import probe_once, read_prompt
from router_mcp.router import Router

STORY = "Tell a long story about a lighthouse."
STORY_TOKENS = 512
FREED_WITHIN_S = 5.0
"""A runtime notices within this that nobody waits any more (vLLM B1 #16: 0.1 s)."""
READ_PART = 0.9
"""Part of a long prompt's words that the runtime must have counted as tokens; fewer mean that it was cut."""

Work: TypeAlias = Callable[[], Awaitable[str]]
"""A check: returns what there is to say, or raises what is wrong."""


class CheckFailedError(RouterError):
    """What a check found to be wrong, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, done."""

    name: str
    passed: bool
    seconds: float
    detail: str = ""


@dataclass(slots=True)
class _FirstWord:
    """A listener that gives up as soon as the model speaks."""

    give_up: Callable[[], None]

    def text(self, delta: str) -> None:
        self.give_up()

    def alive(self) -> None:
        self.give_up()


class SmokeSuite:
    """A suite for one candidate of a router's policy."""

    def __init__(self, router: Router, suite: SmokeFile, model: str, candidate: str) -> None:
        policy = router.fleet.policy
        tasks = tuple(name for name in policy.generative_tasks() if model in policy.tasks[name].models)
        self._router = router
        self._suite = suite
        self._candidate = candidate
        self._tasks = tasks or (policy.defaults.task,)
        self._window = policy.models[candidate].context_window
        self._limit_s = policy.timeouts.long_form

    async def run(self, tell: Callable[[Check], None] = lambda check: None) -> list[Check]:
        """Run every check, and tell each as it ends; without health nothing else is tried."""
        done: list[Check] = []
        for name, work in self._checks():
            done.append(await _checked(name, work))
            tell(done[-1])
            if name.startswith("health") and not done[-1].passed:
                break
        return done

    def _checks(self) -> Iterator[tuple[str, Work]]:
        for endpoint in self._endpoints():
            yield f"health of {endpoint.url}", partial(self._health, endpoint)
        for task in self._tasks:
            for name, asked in self._suite.prompts.items():
                if not asked.tasks or task in asked.tasks:
                    yield f"{task}: {name}", partial(self._prompt, task, asked)
        for name, shape in self._suite.structured.items():
            yield f"structured: {name}", partial(self._structured, shape)
        if self._suite.context_fill:
            yield "context: reads a long prompt", self._long
        if self._suite.refuses_too_long:
            yield "context: refuses what is too long", self._too_long
        if self._suite.cancels:
            yield "cancel: frees its place", self._cancel

    def _endpoints(self) -> Sequence[Endpoint]:
        fleet = self._router.fleet
        return fleet.endpoints_of(fleet.policy.models[self._candidate].runtime)

    async def _health(self, endpoint: Endpoint) -> str:
        probe = await probe_once(self._router, endpoint)
        name = self._router.fleet.policy.served_name(self._candidate)
        if probe.models is not None and name not in probe.models:
            raise CheckFailedError(f"It does not have the model {name!r}.")
        reading = await read_prompt(self._router, self._call("Hi", endpoint), self._limit_s)
        return f"first token after {reading.first_token_s:.2f} s, loading included"

    async def _prompt(self, task: str, asked: PromptCheck) -> str:
        result = await self._ask(
            GenerateRequest(
                prompt=asked.prompt,
                system=asked.system,
                task=task,
                max_output_tokens=asked.max_output_tokens,
                model=self._candidate,
                temperature=0.0,
                seed=1,
            )
        )
        if asked.matches and not re.search(asked.matches, result.text):
            raise CheckFailedError("The answer does not match the pattern that it must.")
        if asked.never and re.search(asked.never, result.text):
            raise CheckFailedError("The answer matches a pattern that it must not.")
        if len(result.text.strip()) < asked.min_chars:
            raise CheckFailedError(f"The answer has fewer than {asked.min_chars} characters.")
        return _timing(result)

    async def _structured(self, shape: StructuredCheck) -> str:
        result = await self._ask(
            GenerateRequest(
                prompt=shape.prompt,
                constraint=JsonSchema(shape.json_schema),
                task=self._tasks[0],
                max_output_tokens=shape.max_output_tokens,
                model=self._candidate,
                temperature=0.0,
                seed=1,
            )
        )
        return f"{_timing(result)}{', after a repair' if result.attempts > 1 else ''}"

    async def _ask(self, request: GenerateRequest) -> GenerateResult:
        result = await self._router.generate(request)
        limits, receipt = self._suite.latency, result.receipt
        first = receipt.time_to_first_token_s or receipt.seconds
        if first > limits.first_token or receipt.seconds > limits.whole:
            raise CheckFailedError(
                f"First token after {first:.1f} s and all after {receipt.seconds:.1f} s; {limits.first_token:g} s and "
                f"{limits.whole:g} s are allowed."
            )
        return result

    async def _long(self) -> str:
        words = int(self._window * self._suite.context_fill)
        call = self._call(marker_text("long", words), self._endpoints()[0])
        reading = await read_prompt(self._router, call, self._limit_s)
        if reading.input_tokens < READ_PART * words:
            raise CheckFailedError(f"It read {reading.input_tokens} tokens of {words} words: the prompt was cut.")
        return f"{reading.input_tokens} tokens, first one out after {reading.first_token_s:.2f} s"

    async def _too_long(self) -> str:
        call = self._call(marker_text("too long", 2 * self._window), self._endpoints()[0])
        try:
            await read_prompt(self._router, call, self._limit_s)
        except ContextTooLongError:
            return "refused"
        raise CheckFailedError(f"It took a prompt of twice the {self._window} tokens that the policy gives it.")

    async def _cancel(self) -> str:
        endpoint = self._endpoints()[0]
        runtime = self._router.fleet.runtimes[endpoint.runtime]
        limit = max(1, min(STORY_TOKENS, self._window // 2))
        call = replace(self._call(STORY, endpoint), max_output_tokens=limit)
        with anyio.move_on_after(self._suite.latency.first_token) as patience:
            await runtime.generate(call, _FirstWord(patience.cancel))
        began = anyio.current_time()
        while (await probe_once(self._router, endpoint)).running:
            if anyio.current_time() - began > FREED_WITHIN_S:
                raise CheckFailedError(f"It still generates {FREED_WITHIN_S:g} s after its caller went away.")
            await anyio.sleep(0.1)
        await read_prompt(self._router, self._call("Hi", endpoint), self._suite.latency.whole)
        return "the next call was served"

    def _call(self, prompt: str, endpoint: Endpoint) -> Call:
        return draft(self._router, GenerateRequest(prompt=prompt), self._tasks[0], self._candidate, endpoint)


async def _checked(name: str, work: Work) -> Check:
    began = anyio.current_time()
    try:
        detail, passed = await work(), True
    except RouterError as error:
        detail, passed = str(error), False
    return Check(name=name, passed=passed, seconds=round(anyio.current_time() - began, 3), detail=detail)


def _timing(result: GenerateResult) -> str:
    first = result.receipt.time_to_first_token_s
    return f"{result.receipt.seconds:.2f} s" + (f", first token after {first:.2f} s" if first is not None else "")
