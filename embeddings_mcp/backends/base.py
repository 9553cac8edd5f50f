"""What every embeddings backend can do. An adapter knows one wire and nothing of batches, health or fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from embeddings_mcp.domain import Answer, Batch
    from router_mcp.domain import Endpoint, Probe


class Backend(Protocol):
    """One backend of the configuration, with all its endpoints.

    Every method raises only `router_mcp.errors.AttemptError` for what the other side did, whatever it did;
    cancellation passes through.
    """

    cuts_silently: ClassVar[bool]
    """Whether it may cut a text that is too long without saying so, unless the text is sent alone."""

    async def embed(self, batch: Batch) -> Answer:
        """Turn the texts of one batch into vectors, in the order of the batch.

        Raises `TextTooLongError` when a text exceeds the model's limit and `batch.truncate` is off. It has no
        time limits of its own but a short one on connecting: the caller cancels it.
        """
        ...

    async def probe(self, endpoint: Endpoint) -> Probe:
        """Ask an endpoint how it is. Never loads a model, never embeds."""
        ...

    async def aclose(self) -> None:
        """Close connections and end what was started."""
        ...
