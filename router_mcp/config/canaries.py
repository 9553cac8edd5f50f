"""Which model is whose canary, by names alone.

A runtime `NAME-canary` brings, for each model of the runtime `NAME`, a model `MODEL-canary`: the same model, served
there. A model `MODEL-canary` that stands in the file is the canary of `MODEL`, wherever it runs.
"""

from __future__ import annotations

import hashlib

from router_mcp.config.policy_file import PolicyFile

SUFFIX = "-canary"


def with_canaries(policy: PolicyFile) -> PolicyFile:
    """Return the policy with the models that its canary runtimes bring."""
    brought = {
        name + SUFFIX: model.model_copy(
            update={"runtime": model.runtime + SUFFIX, "served_name": policy.served_name(name)}
        )
        for name, model in policy.models.items()
        if model.runtime + SUFFIX in policy.runtimes and name + SUFFIX not in policy.models
    }
    return policy.model_copy(update={"models": {**policy.models, **brought}}) if brought else policy


def essence(policy: PolicyFile, model: str) -> str | None:
    """Return what changes when a model's settings, or its runtime's, change; `None` for one that is not there."""
    if model not in policy.models:
        return None
    parts = (
        policy.served_name(model),  # whether it is written out or the model's own name
        str(policy.family(model)),
        policy.models[model].model_dump_json(exclude={"served_name"}),
        policy.runtime_of(model).model_dump_json(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
