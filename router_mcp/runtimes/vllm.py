"""vLLM on its OpenAI wire. The surprises that shaped this file are named where they are met (vLLM B1 #n)."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from router_mcp.domain import Capabilities, Choices, Constraint, JsonSchema, Probe, Regex
from router_mcp.errors import AttemptError
from router_mcp.runtimes.openai_chat import stream_chat
from router_mcp.runtimes.vllm_refusals import refusal
from router_mcp.runtimes.wire import Client, Headers, call_headers, foreign_errors, parse_json, read_body, status_error

if TYPE_CHECKING:
    from router_mcp.config.policy_file import RuntimeConfig
    from router_mcp.domain import Call, Completion, Endpoint, Listener

HEALTH = "/health"
"""vLLM's own: 200 once the model is loaded, 503 when the engine is dead; `/healthz` is 404."""
MODELS = "/v1/models"
"""What gateways let through, and other servers of its kind have, when they have no `/health`."""
MAX_REPLY = 4 * 1024 * 1024
"""Bytes read of a reply to a probe; `/metrics` has some 80 kB."""
RESET = "/reset_prefix_cache?reset_external=true"
"""Without the parameter the tiers below the GPU keep serving what was dropped; releases that lack it ignore it."""
EXTRAS_S = 0.5
"""Seconds that a probe gives to what is good to know but is not health."""

_LOAD = re.compile(
    rb"^vllm:(num_requests_running|(?:prompt|generation)_tokens_total|prefix_cache_(?:queries|hits)_total)"
    rb"(?:\{.*\})? (\S+)",
    re.MULTILINE,
)
_GUIDED = ((0, 3), (0, 12))
"""Releases that know `guided_*`. Later ones ignore it with a 200; a build without tags calls itself 0.1."""


class _Reply(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class VllmRuntime:
    """All endpoints of one vLLM runtime. It owns `client`, and closes it."""

    def __init__(
        self,
        config: RuntimeConfig,
        client: Client,
        *,
        api_key: str | None = None,
        extras_s: float = EXTRAS_S,
    ) -> None:
        self._health_path = config.health_path
        self._client = client
        key = (api_key or "").strip()  # a key from a file often ends in a line break
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._extras_s = extras_s
        self._native_health: set[str] = set()
        self._versions: dict[str, str | None] = {}

    @property
    def capabilities(self) -> Capabilities:
        """It can be asked for every kind of constraint."""
        return Capabilities()

    async def generate(self, call: Call, listener: Listener) -> Completion:
        """Run one call; cancelling closes the socket, on which vLLM aborts at once (vLLM B1 #16)."""
        guided = call.constraint is not None and is_guided(await self._known_version(call.endpoint))
        headers = self._headers | call_headers(call)  # the ids that vLLM makes up match nothing (vLLM B1 #17)
        url = f"{call.endpoint.url}/v1/chat/completions"
        body = request_body(call, guided=guided)
        return await stream_chat(self._client, url, body, headers, call.endpoint, listener, partial(refusal, call))

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask for health, and then for models, version and load, whose lack is no failure.

        A refused key is one, though: `/health` needs none, so a wrong key would go unseen (vLLM B1 #11).
        """
        await self._check_health(endpoint)
        models: frozenset[str] | None = None
        metrics = b""
        with anyio.move_on_after(self._extras_s):
            models = await self._models(endpoint)
            await self._ask_version(endpoint)
            metrics = await self._extra(endpoint, "/metrics")
        running, tokens = read_load(metrics)
        queried, hit = read_prefix_cache(metrics)
        return Probe(
            models=models,
            version=self._versions.get(endpoint.url),
            running=running,
            tokens_total=tokens,
            prefix_queried=queried,
            prefix_hit=hit,
        )

    async def reset_cache(self, endpoint: Endpoint) -> bool:
        """Drop the prefixes of all tenants, offloaded ones too.

        `False` while a request runs or blocks are still being offloaded, and outside dev mode (vLLM B1 #12).
        """
        reply = await self._ask("POST", endpoint, RESET)
        if reply.status in {404, 405}:
            return False
        if reply.status != 200:
            raise status_error(endpoint, reply.status, reply.headers)
        answer = parse_json(reply.body)
        return isinstance(answer, dict) and answer.get("success") is True

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _check_health(self, endpoint: Endpoint) -> None:
        path = HEALTH if endpoint.url in self._native_health else self._health_path
        reply = await self._ask("GET", endpoint, path)
        if reply.status in {404, 405} and path != HEALTH:
            self._native_health.add(endpoint.url)
            reply = await self._ask("GET", endpoint, HEALTH)
        if reply.status == 404:
            reply = await self._ask("GET", endpoint, MODELS)
        if not 200 <= reply.status < 300:
            self._native_health.discard(endpoint.url)
            raise status_error(endpoint, reply.status, reply.headers)

    async def _models(self, endpoint: Endpoint) -> frozenset[str] | None:
        try:
            reply = await self._ask("GET", endpoint, MODELS)
        except AttemptError:
            return None
        if reply.status == 401:
            raise status_error(endpoint, reply.status, reply.headers)
        listed = parse_json(reply.body)
        models = listed.get("data") if isinstance(listed, dict) else None
        if reply.status != 200 or not isinstance(models, list):
            return None
        return frozenset(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)

    async def _known_version(self, endpoint: Endpoint) -> str | None:
        if endpoint.url not in self._versions:
            with anyio.move_on_after(self._extras_s):
                await self._ask_version(endpoint)
        return self._versions.setdefault(endpoint.url, None)  # asked once; each probe asks again

    async def _ask_version(self, endpoint: Endpoint) -> None:
        answer = parse_json(await self._extra(endpoint, "/version"))
        version = answer.get("version") if isinstance(answer, dict) else None
        if isinstance(version, str):
            self._versions[endpoint.url] = version
        else:
            self._versions.setdefault(endpoint.url, None)

    async def _extra(self, endpoint: Endpoint, path: str) -> bytes:
        try:
            reply = await self._ask("GET", endpoint, path)
        except AttemptError:
            return b""
        return reply.body if reply.status == 200 else b""

    async def _ask(self, method: str, endpoint: Endpoint, path: str) -> _Reply:
        headers = self._headers | {"accept-encoding": "identity"}  # compressing costs the server more than it saves
        with foreign_errors(endpoint):
            async with self._client.stream(method, f"{endpoint.url}{path}", headers=headers) as response:
                return _Reply(response.status_code, response.headers, await read_body(response, MAX_REPLY))


def request_body(call: Call, *, guided: bool) -> dict[str, Any]:
    """Return the chat request of a call; `guided` for releases that know `guided_*` only.

    `max_tokens` always goes along, because without it the rest of the context is used (vLLM B1 #8); `stop`
    never goes with a constraint, because it cuts JSON and calls that a good end (#7).
    """
    optional = {"seed": call.seed, "cache_salt": call.cache_salt, "priority": call.priority}
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        "max_tokens": call.max_output_tokens,
        "temperature": call.temperature,
        **{name: value for name, value in optional.items() if value is not None},
    }
    if call.constraint is not None:
        kind, value = _kind_and_value(call.constraint)
        body |= {f"guided_{kind}": value} if guided else {"structured_outputs": {kind: value}}
    elif call.stop:
        body["stop"] = list(call.stop)
    return body


def _kind_and_value(constraint: Constraint) -> tuple[str, Any]:
    if isinstance(constraint, JsonSchema):
        return "json", constraint.schema
    if isinstance(constraint, Choices):
        return "choice", list(constraint.options)
    if isinstance(constraint, Regex):
        return "regex", constraint.pattern
    return "grammar", constraint.text


def is_guided(version: str | None) -> bool:
    """Tell whether a release wants `guided_*`; those from 0.12 on accept and ignore it (vLLM B1 #6)."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version or "")
    return numbers is not None and _GUIDED[0] <= (int(numbers[1]), int(numbers[2])) < _GUIDED[1]


def read_load(metrics: bytes) -> tuple[int | None, float | None]:
    """Return the requests in generation and the tokens ever processed, over all engines of a server."""
    sums = _sums(metrics)
    running = sums.get(b"num_requests_running")
    tokens = [sums[name] for name in (b"prompt_tokens_total", b"generation_tokens_total") if name in sums]
    return None if running is None else int(running), sum(tokens) if tokens else None


def read_prefix_cache(metrics: bytes) -> tuple[int | None, int | None]:
    """Return the tokens ever looked for in the prefix cache and those found there, over all engines of a server."""
    sums = _sums(metrics)
    queried, hit = sums.get(b"prefix_cache_queries_total"), sums.get(b"prefix_cache_hits_total")
    return None if queried is None else int(queried), None if hit is None else int(hit)


def _sums(metrics: bytes) -> dict[bytes, float]:
    sums: dict[bytes, float] = {}
    for name, text in _LOAD.findall(metrics):
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            sums[name] = sums.get(name, 0.0) + value
    return sums
