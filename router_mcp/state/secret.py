"""The secret that tenants' salts are made with: the operator's, else one that this machine makes once and keeps."""

from __future__ import annotations

import logging
import secrets

from router_mcp.errors import ConfigError
from router_mcp.state.directory import StateDirectory

FILE = "salt.secret"
SHORTEST = 16

_log = logging.getLogger(__name__)


def salt_secret(given: str, state: StateDirectory | None) -> str:
    """Return the secret; without one given it is read from the state folder, where the first process writes it.

    Where nothing can be kept, this process has one of its own: tenants stay apart, but no other process, and not
    the next start, finds their prefixes again.
    """
    if given:
        return given
    if state is not None:
        try:
            return _kept(state)
        except ConfigError as error:
            _log.warning("Tenants' cached prefixes will be found by this process only: %s", error)
    return secrets.token_hex(32)


def _kept(state: StateDirectory) -> str:
    with state.locked("secret"):
        kept = (state.read(FILE) or b"").decode("ascii", "replace").strip()
        if len(kept) < SHORTEST:
            kept = secrets.token_hex(32)
            state.write(FILE, kept.encode() + b"\n")
        return kept
