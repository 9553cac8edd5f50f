"""The two sides of the comparison: llama.cpp asked as its users ask it, and the same llama.cpp behind the router."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import httpx

from benchmarks.structured_judge import fault_of, names_its_reason
from router_mcp import GenerateRequest, JsonSchema, Router, RouterError, load_config, open_router
from router_mcp.runtimes.cores import usable_cores
from router_mcp.runtimes.llama_process import LlamaProcess, LlamaSpec
from router_mcp.runtimes.weights import cached_weights

PROMPT = "Write an example of a document that fits the schema."
SEED = 1
WINDOW = 8192
POLICY = """\
version: 1
runtimes:
  embedded: {{ kind: embedded, max_concurrency: {callers} }}
models:
  smollm2-135m-instruct: {{ runtime: embedded, context_window: {window} }}
tasks:
  sample: {{ models: [smollm2-135m-instruct] }}
defaults: {{ task: sample, temperature: 0 }}
timeouts: {{ interactive: {deadline}, inter_token: 15 }}
"""


@dataclass(frozen=True)
class Terms:
    """What both sides are given."""

    tokens: int
    deadline: float
    callers: int


@dataclass(frozen=True)
class Outcome:
    """What came of one schema."""

    kind: str
    """`valid`, `invalid` (handed over as a success, and is none), `cut` (at the token limit), `late` or `refused`."""
    why: str = ""
    attempts: int = 1
    named: bool = True
    """Whether a refusal names its keyword or limit."""


Ask: TypeAlias = Callable[[dict[str, Any]], Awaitable[Outcome]]


class _Bare:
    """llama.cpp's own server and a client with a time limit, as in its documentation."""

    def __init__(self, terms: Terms, spec: LlamaSpec) -> None:
        self._terms = terms
        self._spec = spec
        self._child: LlamaProcess | None = None
        self._starting = anyio.Lock()

    async def ask(self, schema: dict[str, Any]) -> Outcome:
        child = await self._running()
        body = {
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": self._terms.tokens,
            "temperature": 0,
            "seed": SEED,
            "response_format": {"type": "json_schema", "json_schema": {"name": "document", "schema": schema}},
        }
        try:
            with anyio.fail_after(self._terms.deadline):
                async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
                    reply = await client.post(f"{child.url}/v1/chat/completions", json=body, headers=child.headers)
        except TimeoutError:
            return Outcome("late")
        except httpx.HTTPError as error:
            await self.aclose()
            return Outcome("refused", type(error).__name__)
        if reply.status_code != 200:
            return Outcome("refused", f"HTTP {reply.status_code}")
        (choice,) = reply.json()["choices"]
        wrong = fault_of(schema, choice["message"]["content"] or "")
        return Outcome("valid" if not wrong else "cut" if choice["finish_reason"] == "length" else "invalid", wrong)

    async def _running(self) -> LlamaProcess:
        async with self._starting:
            if self._child is None:
                child = await LlamaProcess.spawn(self._spec)
                await child.ready()
                self._child = child
            return self._child

    async def aclose(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.aclose()


@asynccontextmanager
async def bare(terms: Terms, _folder: Path) -> AsyncGenerator[Ask]:
    """Yield a way to ask llama.cpp itself, in a child process of its own."""
    gguf = cached_weights()
    assert gguf is not None, "Fetch the weights: python -m router_mcp.runtimes.weights"
    side = _Bare(terms, LlamaSpec(gguf=gguf, context=WINDOW, slots=terms.callers, threads=usable_cores()))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(side.aclose)
        yield side.ask


@asynccontextmanager
async def routed(terms: Terms, folder: Path) -> AsyncGenerator[Ask]:
    """Yield a way to ask through the router, as a library."""
    path = folder / "policy.yaml"
    path.write_text(POLICY.format(callers=terms.callers, window=WINDOW, deadline=terms.deadline))
    async with open_router(load_config(path)) as router:
        await router.generate(GenerateRequest(prompt="Say hello.", max_output_tokens=1))  # the model is loaded
        yield lambda schema: _route(router, terms, schema)


async def _route(router: Router, terms: Terms, schema: dict[str, Any]) -> Outcome:
    request = GenerateRequest(
        prompt=PROMPT, constraint=JsonSchema(schema), seed=SEED, temperature=0.0, max_output_tokens=terms.tokens
    )
    try:
        result = await router.generate(request)
    except RouterError as error:
        tried = len(error.receipt.attempts) if error.receipt else 0
        kind = "late" if error.code == "deadline" else "refused"
        return Outcome(kind, f"{error.code}: {error}", tried, names_its_reason(str(error)))
    wrong = fault_of(schema, json.dumps(result.data))
    return Outcome("invalid" if wrong else "valid", wrong, result.attempts)
