"""Rewrites the policy file so that a crash at any moment leaves the old file or the new one, and a rerun the new one.

backup   the old file and the new, in the state folder, named by their content
intent   `canaries.json` says what is being done, from which content to which; canaries of the model get no calls
policy   the new file takes the old one's name at once
audit    one line
state    `canaries.json` says that it is done, with the backup, so that it can be undone
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from router_mcp.config import policy_of
from router_mcp.config.canaries import essence
from router_mcp.config.policy_edit import BOM, swap_for, swapped
from router_mcp.config.yaml_source import Source
from router_mcp.errors import ConfigError
from router_mcp.state.audit import audit, now
from router_mcp.state.directory import StateDirectory, replace_file
from router_mcp.state.files import CANARIES, HISTORY, CanariesFile, Canary, Change, Past, read_state, write_state

Reached = Callable[[str], None]
"""Told each step that is done; tests crash there."""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy file as it stands: its text and where it really is."""

    path: Path
    text: str

    @property
    def digest(self) -> str:
        """What tells this content from any other."""
        return digest(self.text)

    def promoted(self, model: str, environ: Mapping[str, str]) -> str:
        """Return the text with a model and its canary in each other's place; raise `ConfigError` if that cannot be."""
        return swapped(self.path, self.text, swap_for(self.path, self.text, model, environ), environ)

    def patch(self, after: str) -> str:
        """Return what changes, as a patch for `patch -p1` and `git apply`."""
        name = self.path.name
        lines = difflib.unified_diff(
            self.text.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def read_policy(path: Path) -> PolicyText:
    """Read a policy file, through links; raise `ConfigError` when that fails."""
    real = path.resolve()
    try:
        return PolicyText(real, real.read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason}). Give the right path with --config.") from None


def digest(text: str) -> str:
    """Return what tells one content from another."""
    return hashlib.sha256(text.encode()).hexdigest()


class PolicyChanges:
    """Changes of policy files, as one state folder knows them. Whoever calls holds the lock `canaries`."""

    def __init__(self, state: StateDirectory, reached: Reached) -> None:
        self._state = state
        self._reached = reached

    def begin(
        self, model: str, canary: Canary, what: Literal["promote", "rollback"], before: PolicyText, after: str
    ) -> Canary:
        """Keep both texts, and write down what is going to happen."""
        for text in (before.text, after):
            self._state.write(_kept(model, digest(text)), text.encode())
        self._reached("backup")
        change = Change(what=what, policy=str(before.path), before=before.digest, after=digest(after))
        canary = canary.model_copy(update={"phase": "changing", "change": change})
        put(self._state, model, canary)
        self._reached("intent")
        return canary

    def finish(self, model: str, canary: Canary) -> Past:
        """Do what was written down, as far as it was not done."""
        change = canary.change
        assert change is not None, "only what was begun is finished"
        policy = read_policy(Path(change.policy))
        if policy.digest not in {change.before, change.after}:
            raise ConfigError(
                f"{policy.path} was edited while it was being changed; it is left as it is. See what it says now, then "
                f"run `router-mcp canary rollback {model}` to forget the change, and begin again."
            )
        if policy.digest != change.after:
            _write(policy, self.kept(model, change.after))
        self._reached("policy")
        backup = str(self._state.path / _kept(model, change.before))
        details = {"candidate": canary.candidate, "policy": change.policy, "backup": backup}
        audit(self._state, f"{canary.id}:{change.what}", f"canary.{change.what}", model, **details)
        self._reached("audit")
        said = change.model_dump()
        past = Past(id=canary.id, model=model, candidate=canary.candidate, at=now(), backup=backup, **said)
        file = read_state(self._state, CANARIES, CanariesFile)
        rest = {name: each for name, each in file.canaries.items() if name != model}
        write_state(self._state, CANARIES, CanariesFile(canaries=rest, history=(*file.history, past)[-HISTORY:]))
        self._reached("state")
        return past

    def undone(self, past: Past, text: PolicyText, environ: Mapping[str, str]) -> str:
        """Return the policy file without a promotion, and with what was edited since.

        Raises `ConfigError` when the place of the old model was given to something else meanwhile.
        """
        before = self.kept(past.model, past.before)
        if text.digest == past.after:
            return before
        after = text.promoted(past.model, environ)
        was, would_be = (
            essence(policy_of(Source(text.path, content.removeprefix(BOM), environ)), past.model)
            for content in (before, after)
        )
        if was != would_be:
            raise ConfigError(
                f"{text.path} was edited since the promotion: what now stands there as {past.candidate} is not what "
                f"{past.model} was before. Take that from {past.backup}, or promote a canary that passed its suite."
            )
        return after

    def kept(self, model: str, content: str) -> str:
        """Return a text that was kept, by the digest of its content; raise `ConfigError` when it is gone."""
        name = _kept(model, content)
        text = (self._state.read(name) or b"").decode("utf-8", "replace")
        if digest(text) != content:
            raise ConfigError(f"{self._state.path / name} is missing or was changed. Restore it, or roll back.")
        return text


def _kept(model: str, content: str) -> str:
    return f"history/{re.sub(r'[^A-Za-z0-9._-]', '_', model)}-{content[:16]}.yaml"


def _write(policy: PolicyText, text: str) -> None:
    try:
        replace_file(policy.path, text.encode(), mode=policy.path.stat().st_mode & 0o777)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{policy.path} cannot be written ({reason}). Change it where it comes from: --dry-run prints the patch."
        ) from None


def put(state: StateDirectory, model: str, canary: Canary) -> None:
    """Write what is known of a model's canary; the caller holds the lock."""
    file = read_state(state, CANARIES, CanariesFile)
    write_state(state, CANARIES, file.model_copy(update={"canaries": {**file.canaries, model: canary}}))
