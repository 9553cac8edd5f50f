"""How prompts begin, in the log, for those who said that it may stand there: what `router-mcp warm --learn` reads.

Nothing is written unless `ROUTER_MCP_LEARN` is set. It names the tenants who consented (`-` stands for calls of no
tenant), and only of their calls text is kept. Of all others a line has digests under the server's own secret: they
tell that many calls begin alike, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from router_mcp.domain import GenerateRequest
from router_mcp.state.directory import state_directory
from router_mcp.state.secret import salt_secret
from router_mcp.telemetry.base import Answered, AttemptStarted, Event

LENGTHS = (256, 512, 1024, 2048, 4096)
"""Characters of system text and prompt after which calls are compared."""
NOBODY = "-"

_log = logging.getLogger("router_mcp.prefixes")


@dataclass(frozen=True, slots=True)
class PrefixLog:
    """Telemetry that writes how answered calls began."""

    consenting: frozenset[str]
    secret: bytes

    def started(self, event: AttemptStarted) -> str | None:
        """Nothing is written before a call was answered."""
        return None

    def tell(self, event: Event) -> None:
        """Write how a call began, if it is long enough to be worth warming."""
        if isinstance(event, Answered) and not event.request.history:
            fields = self.fields(event.request, event.receipt.task)
            if fields["digests"]:
                _log.info("call of task %s began", event.receipt.task, extra=fields)

    def fields(self, request: GenerateRequest, task: str) -> dict[str, Any]:
        """Return the fields of a line."""
        tenant = request.tenant or NOBODY
        head = f"{request.system or ''}\0{request.prompt}"[: max(LENGTHS)]
        fields: dict[str, Any] = {
            "task": task,
            "digests": {str(length): self._digest(tenant, head[:length]) for length in LENGTHS if len(head) >= length},
        }
        if tenant in self.consenting:
            fields |= {"tenant": tenant, "beginning": head}
        return fields

    def _digest(self, tenant: str, text: str) -> str:
        return blake2b(f"{tenant}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8, key=self.secret).hexdigest()


def prefix_log(environ: Mapping[str, str]) -> tuple[PrefixLog, ...]:
    """Return the listener that the environment asks for, if it does."""
    named = environ.get("ROUTER_MCP_LEARN", "")
    consenting = frozenset(name.strip() for name in named.split(",") if name.strip())
    if not consenting:
        return ()
    secret = salt_secret(environ.get("ROUTER_MCP_SALT_SECRET", ""), state_directory(environ))
    return (PrefixLog(consenting, secret.encode("utf-8", "surrogatepass")[:64]),)
