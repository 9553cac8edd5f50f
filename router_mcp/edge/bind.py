"""May the server listen there, and to whom will it answer? Pure, but for reading the file of tenants' tokens.

On loopback anyone on the machine may call, as with stdio. Anything else needs a token and the names that
clients use, because a page in a browser can reach a private address under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from router_mcp.config.tokens_file import load_tokens
from router_mcp.errors import ConfigError

OPERATOR = "default"
"""Whom the server's own token stands for."""
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Names:
    """The values of `Host` and `Origin` that are answered: `name` for any port, `name:port` for that one."""

    allowed: frozenset[str] = frozenset()

    def host_allowed(self, host: str) -> bool:
        """Say whether a `Host` header is one of ours; loopback names always are, for probes on the machine."""
        host = host.lower()
        name = _without_port(host)
        return name in _LOOPBACK_NAMES or host in self.allowed or name in self.allowed

    def origin_allowed(self, origin: str) -> bool:
        """Say whether a page with this `Origin` may call: a web page served under one of our names."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in {"http", "https"} and bool(parts.netloc) and self.host_allowed(parts.netloc)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Bearer tokens and the principal that each one stands for.

    The server's own stands for the operator, and each tenant's for that tenant (`edge.tenant`).
    """

    pairs: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def principal(self, token: bytes) -> str | None:
        """Return whom a token stands for, in a time that does not tell how much of it was right."""
        found = None
        for name, secret in self.pairs:
            if hmac.compare_digest(secret, token):
                found = name
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen and to whom to answer."""

    host: str
    names: Names
    tokens: Tokens


def check_bind(host: str, environ: Mapping[str, str], *, prefix: str = "ROUTER_MCP") -> Bind:
    """Return what `{prefix}_TOKEN` and `{prefix}_ALLOWED_HOSTS` (comma-separated) make of a host.

    `{prefix}_TOKENS_FILE` adds tenants' tokens (`config.tokens_file`).
    Raises `ConfigError` when it is not a loopback one and either of the first two is not set.
    """
    token = environ.get(f"{prefix}_TOKEN", "").strip()
    allowed = _names(environ.get(f"{prefix}_ALLOWED_HOSTS", ""))
    missing = [name for name, value in ((f"{prefix}_TOKEN", token), (f"{prefix}_ALLOWED_HOSTS", allowed)) if not value]
    if missing and not _is_loopback(host):
        raise ConfigError(
            f"Binding {host or 'every interface'} opens the server to the network, but {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. Set {prefix}_TOKEN to the secret that clients send as "
            f"bearer token and {prefix}_ALLOWED_HOSTS to the host names that they use, or bind 127.0.0.1."
        )
    return Bind(host=host, names=Names(allowed), tokens=_tokens(token, environ, f"{prefix}_TOKENS_FILE"))


def _tokens(own: str, environ: Mapping[str, str], variable: str) -> Tokens:
    pairs = [(OPERATOR, own)] if own else []
    if file := environ.get(variable):
        pairs += load_tokens(Path(file), environ).items()
    if len({token for _, token in pairs}) < len(pairs):
        raise ConfigError(f"A tenant's token in {file} is also the server's own. Make another for the tenant.")
    return Tokens(tuple((name, token.encode()) for name, token in pairs))


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in value.split(",") if name.strip())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
