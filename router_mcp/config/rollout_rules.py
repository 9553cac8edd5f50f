"""The policy file's section on canaries: how much they get, and what they must keep to."""

from __future__ import annotations

from pydantic import Field

from router_mcp.config.base import Strict


class RolloutRules(Strict):
    """When a canary may take its model's place, and when it is taken back by itself (`router-mcp canary`)."""

    share: float = Field(
        default=0.2, ge=0, le=1, description="Part of the model's calls that try the canary, once its suite passed."
    )
    window: float = Field(default=600, ge=5, le=86_400, description="Seconds that a comparison looks back.")
    min_calls: int = Field(
        default=50, ge=0, le=1_000_000, description="Calls that model and canary each need in it before a promotion."
    )
    error_rate: float = Field(
        default=0.02, ge=0, le=1, description="How much larger the part of its calls that fail may be."
    )
    first_token: float = Field(
        default=1.5, ge=1, le=1000, description="How many times the model's its median time to first token may be."
    )
    tokens_per_s: float = Field(
        default=0.67, gt=0, le=1, description="The least part of the model's tokens a second that it must reach."
    )
    structured_valid: float = Field(
        default=0.02, ge=0, le=1, description="How much larger the part of its structured answers that break may be."
    )
