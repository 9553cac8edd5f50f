"""A canary's life, as operators order it; every process of routers follows (`router_mcp.orders`).

    start      waiting      it gets nothing before its smoke suite passed
    smoke      running      it gets its share of the calls (or copies); refused, when the suite failed
    promote    gone         it and its model have changed places in the policy file
    rollback   rolled_back  by an operator, or by a router that saw it break its limits; after a promotion: undone

All is written under one lock, and each step that changes the policy file is on disk before the next begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from router_mcp.comparison import Tally, objections
from router_mcp.config import load_config
from router_mcp.config.base import nearest
from router_mcp.config.canaries import SUFFIX, essence
from router_mcp.config.policy_edit import swap_for
from router_mcp.config.policy_file import PolicyFile
from router_mcp.errors import ConfigError, RouterError
from router_mcp.operations.policy_change import PolicyChanges, PolicyText, Reached, put, read_policy
from router_mcp.state.audit import audit, now
from router_mcp.state.directory import StateDirectory
from router_mcp.state.files import CANARIES, CanariesFile, Canary, Past, Smoke, read_state
from router_mcp.state.window import read_counts

LOCK = "canaries"


class PromotionRefusedError(RouterError):
    """A canary that may not take its model's place; the message lists why, a line each."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How model and canary did in the window, and what speaks against a promotion."""

    model: Tally
    candidate: Tally
    objections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Canaries:
    """The canaries of one policy file."""

    state: StateDirectory
    path: Path
    environ: Mapping[str, str]
    wall: Callable[[], float]
    """The clock that processes share, in seconds."""
    reached: Reached = lambda step: None

    def start(self, model: str, *, share: float | None, shadow: bool) -> Canary:
        """Start a canary, or change the share of one that is there; it gets calls once its suite has passed."""
        policy = self._policy(model)
        with self.state.locked(LOCK):
            known = self.get(model)
            if known is not None and known.phase == "changing":
                raise _changing(model)
            share = policy.rollout.share if share is None else share
            if known is not None and known.phase in {"waiting", "running"}:
                canary = known.model_copy(update={"share": share, "shadow": shadow})
            else:
                canary = Canary(
                    id=uuid4().hex,
                    candidate=model + SUFFIX,
                    phase="waiting",
                    share=share,
                    shadow=shadow,
                    since=now(),
                )
            put(self.state, model, canary)
            details = {"candidate": canary.candidate, "share": share, "shadow": shadow}
            audit(self.state, f"{canary.id}:start:{uuid4().hex}", "canary.start", model, **details)
            return canary

    def testable(self, model: str) -> Canary:
        """Return a canary whose smoke suite may be run; raise `ConfigError` when that would be of no use."""
        canary = self.started(model)
        if canary.phase == "changing":
            raise _changing(model)
        if canary.phase == "rolled_back":
            raise ConfigError(f"{model}'s canary was rolled back. Run `router-mcp canary start {model}` again first.")
        return canary

    def tested(self, model: str, failed: tuple[str, ...]) -> Canary:
        """Note how the smoke suite went: a canary that passed gets its share, one that failed gets nothing."""
        policy = self._policy(model)
        with self.state.locked(LOCK):
            canary = self.testable(model)
            of = essence(policy, canary.candidate) or ""
            smoke = Smoke(at=now(), essence=of, passed=not failed, failed=failed)
            phase = "refused" if failed else "running"
            reason = f"The smoke suite failed: {', '.join(failed)}." if failed else ""
            changed = {"smoke": smoke, "phase": phase, "reason": reason, "since": now()}
            canary = canary.model_copy(update=changed)
            put(self.state, model, canary)
            details = {"passed": not failed, "failed": list(failed)}
            audit(self.state, f"{canary.id}:smoke:{uuid4().hex}", "canary.smoke", model, **details)
            return canary

    def compare(self, model: str, canary: Canary, policy: PolicyFile) -> Comparison:
        """Return how model and canary did since the window began, over all processes."""
        rules = policy.rollout
        ours, theirs = (
            read_counts(self.state, canary.id, name, self.wall(), rules.window) for name in (model, canary.candidate)
        )
        found = _untested(policy, canary)
        return Comparison(ours, theirs, (*found, *objections(ours, theirs, rules)))

    def patch(self, model: str) -> tuple[str, tuple[str, ...]]:
        """Return what a promotion would change in the policy file, and what speaks against it now."""
        policy = self._policy(model)
        text = read_policy(self.path)
        against = self.compare(model, self.started(model), policy).objections
        return text.patch(text.promoted(model, self.environ)), against

    def promote(self, model: str) -> Past:
        """Give a canary its model's place, or finish doing so; `PromotionRefusedError` when it may not have it."""
        with self.state.locked(LOCK):
            if self.get(model) is None and (done := self._last(model)) and done.what == "promote":
                return done  # a command that ended early had got this far
            canary = self.started(model)
            changes = PolicyChanges(self.state, self.reached)
            if canary.change is None:
                policy = self._policy(model)
                if against := self.compare(model, canary, policy).objections:
                    key = f"{canary.id}:refused:{uuid4().hex}"
                    audit(self.state, key, "canary.promote.refused", model, reasons=list(against))
                    lines = "\n".join(f"- {each}" for each in against)
                    raise PromotionRefusedError(f"{canary.candidate} is not promoted:\n{lines}")
                text = read_policy(self.path)
                canary = changes.begin(model, canary, "promote", text, text.promoted(model, self.environ))
            elif canary.change.what != "promote":
                raise _changing(model)
            return changes.finish(model, canary)

    def rollback(self, model: str) -> str:
        """Take a canary's traffic away, or undo its promotion; return what was done, in words."""
        with self.state.locked(LOCK):
            canary = self.get(model)
            if canary is not None and canary.change is not None:
                return self._unchange(model, canary)
            if canary is None:
                return self._undo(model)
            if canary.phase == "rolled_back":  # an older promotion is not what is meant
                return f"{canary.candidate} has got no calls since {canary.since}. {canary.reason}"
            withdraw(self.state, model, canary, "An operator rolled it back.")
            return f"{canary.candidate} gets no calls any more."

    def _unchange(self, model: str, canary: Canary) -> str:
        """End a change that was interrupted."""
        change = canary.change
        assert change is not None, "the caller looked"
        found = read_policy(Path(change.policy)).digest
        if change.what == "rollback" and found in {change.before, change.after}:
            PolicyChanges(self.state, self.reached).finish(model, canary)
            return f"The promotion of {canary.candidate} is undone."
        if change.what == "promote" and found == change.after:
            PolicyChanges(self.state, self.reached).finish(model, canary)
            return self._undo(model)
        left = canary.model_copy(update={"change": None})
        withdraw(self.state, model, left, "An operator rolled it back before the policy file was changed.")
        return f"{canary.candidate} gets no calls any more, and the policy file is as it was."

    def _undo(self, model: str) -> str:
        """Undo the latest promotion, when it is not undone yet."""
        past, changes = self._last(model), PolicyChanges(self.state, self.reached)
        if past is None:
            raise self._never_started(model)
        if past.what != "promote":
            return f"There is nothing to roll back for {model}: that was done at {past.at}."
        text = read_policy(Path(past.policy))
        before = changes.undone(past, text, self.environ)
        canary = Canary(id=uuid4().hex, candidate=past.candidate, phase="changing", share=0, since=now())
        changes.finish(model, changes.begin(model, canary, "rollback", text, before))
        return f"The promotion of {past.candidate} is undone."

    def get(self, model: str) -> Canary | None:
        """Return what is known of a model's canary."""
        return self.known().canaries.get(model)

    def started(self, model: str) -> Canary:
        """Return a model's canary; raise `ConfigError` when it was never started."""
        canary = self.get(model)
        if canary is None:
            raise self._never_started(model)
        return canary

    def _last(self, model: str) -> Past | None:
        return next((past for past in reversed(self.known().history) if past.model == model), None)

    def known(self) -> CanariesFile:
        """Return all canaries and their history."""
        return read_state(self.state, CANARIES, CanariesFile)

    def _never_started(self, model: str) -> ConfigError:
        file = self.known()
        known = sorted({*file.canaries, *(past.model for past in file.history)})
        hint = f"{nearest(model, known)} " if known and model not in known else ""
        return ConfigError(
            f"{model} has no canary that was started. {hint}Run `router-mcp canary start {model}` first."
        )

    def _policy(self, model: str) -> PolicyFile:
        """Return the policy, after making sure that a promotion of this model would be possible."""
        text: PolicyText = read_policy(self.path)
        swap_for(text.path, text.text, model, self.environ)
        return load_config(self.path, self.environ)


def _untested(policy: PolicyFile, canary: Canary) -> tuple[str, ...]:
    """Return what is missing before numbers count at all."""
    test = f"run `router-mcp canary smoke {canary.candidate.removesuffix(SUFFIX)}`"
    if canary.phase == "changing":
        return ("the policy file is being changed for it",)
    if canary.phase in {"refused", "rolled_back"}:
        return (f"it was {canary.phase.replace('_', ' ')}: {canary.reason}",)
    if canary.smoke is None:
        return (f"its smoke suite has not passed yet: {test}",)
    if essence(policy, canary.candidate) != canary.smoke.essence:
        return (f"its settings changed since its smoke suite passed: {test} again",)
    return ()


def withdraw(state: StateDirectory, model: str, canary: Canary, reason: str) -> None:
    """Take a canary's traffic away, for every process; the caller holds the lock."""
    put(state, model, canary.model_copy(update={"phase": "rolled_back", "reason": reason, "since": now()}))
    details = {"candidate": canary.candidate, "reason": reason}
    audit(state, f"{canary.id}:rolled_back", "canary.rollback", model, **details)


def _changing(model: str) -> ConfigError:
    return ConfigError(
        f"The policy file is being changed for {model}, or was when a command ended early. Run `router-mcp canary "
        f"promote {model}` or `rollback {model}` to bring that to its end."
    )
