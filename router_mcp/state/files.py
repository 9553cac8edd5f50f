"""The state files' shapes. Commands write them; a person may read them, and should not need to edit them."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from router_mcp.config.base import Strict
from router_mcp.errors import ConfigError
from router_mcp.rollout import Orders, Rollout
from router_mcp.state.directory import StateDirectory

TENANTS = "tenants.json"
CANARIES = "canaries.json"
HISTORY = 100
"""Canaries that are over and still listed."""

Phase = Literal["waiting", "running", "refused", "rolled_back", "changing"]
"""Waiting for its smoke suite; taking traffic; failed the suite; taken back; the policy is being rewritten."""
FileT = TypeVar("FileT", bound="StateFile")


class StateFile(Strict):
    """Base of the state files: frozen, unknown keys refused."""

    version: Literal[1] = 1


class Erasure(Strict):
    """A teardown that has not come to its end."""

    id: str
    began_at: str
    from_epoch: int
    cleared: tuple[str, ...] = ()
    """Endpoints whose cache was dropped since."""


class Tenant(Strict):
    """What is known of one tenant."""

    epoch: int = Field(ge=0)
    erasure: Erasure | None = None


class TenantsFile(StateFile):
    """`tenants.json`: tenants that were torn down at least once."""

    tenants: dict[str, Tenant] = Field(default_factory=dict)


class Smoke(Strict):
    """How the smoke suite went."""

    at: str
    essence: str
    """What the candidate was then."""
    passed: bool
    failed: tuple[str, ...] = ()


class Change(Strict):
    """A rewriting of the policy file that was begun."""

    what: Literal["promote", "rollback"]
    policy: str
    before: str
    """SHA-256 of the file that is to be replaced."""
    after: str


class Canary(Strict):
    """One canary, from its start to its end."""

    id: str
    candidate: str
    phase: Phase
    share: float = Field(ge=0, le=1)
    shadow: bool = False
    since: str
    reason: str = ""
    smoke: Smoke | None = None
    change: Change | None = None


class Past(Strict):
    """A canary that is over."""

    id: str
    model: str
    candidate: str
    what: Literal["promote", "rollback"]
    at: str
    policy: str
    before: str
    after: str
    backup: str


class CanariesFile(StateFile):
    """`canaries.json`: canaries by their model, and those that changed the policy file."""

    canaries: dict[str, Canary] = Field(default_factory=dict)
    history: tuple[Past, ...] = ()


def read_state(state: StateDirectory, name: str, shape: type[FileT]) -> FileT:
    """Return a state file, an empty one when it is not there; raise `ConfigError` when it is damaged."""
    raw = state.read(name)
    if raw is None:
        return shape()
    try:
        return shape.model_validate_json(raw)
    except ValidationError:
        message = f"{state.path / name}: this state file is damaged. Restore it, or remove it to begin anew."
        raise ConfigError(message) from None


def write_state(state: StateDirectory, name: str, value: StateFile) -> None:
    """Replace a state file."""
    state.write(name, (value.model_dump_json(indent=1, exclude_defaults=True) + "\n").encode())


def read_orders(state: StateDirectory) -> Orders:
    """Return what the state files order."""
    tenants = read_state(state, TENANTS, TenantsFile).tenants
    canaries = read_state(state, CANARIES, CanariesFile).canaries
    return Orders(
        epochs={name: tenant.epoch for name, tenant in tenants.items()},
        rollouts={model: _rollout(model, canary) for model, canary in canaries.items() if takes_part(canary)},
    )


def takes_part(canary: Canary) -> bool:
    """Tell whether a canary gets anything of its model's traffic, if the policy still knows it."""
    return canary.phase == "running" and canary.share > 0 and canary.smoke is not None


def _rollout(model: str, canary: Canary) -> Rollout:
    fields: dict[str, Any] = {"essence": canary.smoke.essence if canary.smoke else ""}
    return Rollout(
        id=canary.id, model=model, candidate=canary.candidate, share=canary.share, shadow=canary.shadow, **fields
    )
