"""Proves once per endpoint that a constraint fires there, by one that only a constrained decoder satisfies (issue 4).

The model is asked for a greeting and held to a random word that it cannot know. It costs a dozen tokens, once, when an
endpoint is well, has the model in memory and nothing to do; a model is never loaded for it. A vLLM on the `auto` back
end decides by its first constraint which back end it uses for life (vLLM B1 #1): this one leads it to guidance.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Final
from uuid import uuid4

import anyio

from router_mcp.domain import Call, Choices, Constraint, Endpoint, Grammar, JsonSchema, Message, Probe, RuntimeKind
from router_mcp.errors import AttemptError, OutputInvalidError, RejectedError, StalledError, UnsupportedConstraintError
from router_mcp.proofs import Firing
from router_mcp.router import Router
from router_mcp.trial import PATIENCE, Deaf, model_in_memory

QUIET_S: Final = 20.0
"""Seconds that nobody asked it for anything: callers come first, and servers that a client starts for one call try
nothing."""
TOKENS: Final = 24
_STEPS: Final = 10
"""A dozen tokens may take so many times what one may."""


def spellings(kind: RuntimeKind, word: str) -> tuple[Constraint, ...]:
    """Return the constraint in the forms that a runtime may take, best first.

    `pattern` beside `maxLength` is what xgrammar does not have: `auto` chooses guidance for it, and a server that is
    pinned to xgrammar refuses it, and is asked for the plain choice.
    """
    schema = JsonSchema({"type": "string", "pattern": f"^{word}$", "maxLength": len(word)})
    if kind == "embedded":
        return (Grammar(f'%llguidance {{}}\nstart: "{word}"'),)
    return (schema, Choices((word,))) if kind == "vllm" else (schema,)


def is_due(router: Router, endpoint: Endpoint, now: float) -> bool:
    """Tell whether it is not known yet if constraints fire on an endpoint, and now is a good time to find out."""
    policy, probe = router.fleet.policy, router.pulse.probe(endpoint)
    if probe is None or not policy.health.canary or router.proofs.is_known(endpoint, probe.version):
        return False
    kind = policy.runtimes[endpoint.runtime].kind
    quiet = _is_there(kind, probe) and router.pulse.idle_s(endpoint) >= QUIET_S
    return quiet and router.board.standing(endpoint, None, now).state == "healthy"


async def prove(router: Router, endpoint: Endpoint, clock: Callable[[], float]) -> None:
    """Try whether constraints fire on an endpoint, and note what came of it; a failure is noted where calls' are."""
    probe, model = router.pulse.probe(endpoint), model_in_memory(router, endpoint)
    if probe is None or model is None:
        return
    try:
        firing = await _try(router, endpoint, model)
    except AttemptError as error:
        router.board.failed(endpoint, model, error, clock())
    else:
        router.proofs.found(endpoint, probe.version, firing)


def _is_there(kind: RuntimeKind, probe: Probe) -> bool:
    """Tell whether there is a process to ask: llama.cpp's child is started by callers only."""
    return kind != "embedded" or probe.running is not None


async def _try(router: Router, endpoint: Endpoint, model: str) -> Firing:
    """Return what was found; raise what kept it from being found."""
    policy, word = router.fleet.policy, token_hex(4)
    kind = policy.runtimes[endpoint.runtime].kind
    limit = _STEPS * PATIENCE[kind] * policy.health.timeout
    for constraint in spellings(kind, word):
        call = Call(
            endpoint=endpoint,
            model=policy.served_name(model),
            messages=(Message(role="user", content="Say hello."),),
            temperature=0.0,
            max_output_tokens=TOKENS,
            context_window=policy.models[model].context_window,
            request_id=f"proof-{uuid4().hex}",
            constraint=constraint,
        )
        try:
            with anyio.fail_after(limit):
                completion = await router.fleet.runtimes[endpoint.runtime].generate(call, Deaf())
        except (RejectedError, UnsupportedConstraintError):
            continue
        except OutputInvalidError:
            return "ignored"  # it ran into a loop instead
        except TimeoutError:
            message = f"{endpoint} answers health checks but finished no short answer in {limit:g} s. Look at its log."
            raise StalledError(message) from None
        return "enforced" if completion.text.strip().strip('"') == word else "ignored"
    return "refused"
