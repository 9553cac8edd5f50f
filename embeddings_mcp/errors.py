"""What can go wrong with vectors beyond what `router_mcp.errors` knows; the same tree, the same rules.

RouterError                      code                    for
├─ ItemsTooLongError             context_too_long        the caller: which texts, how long
├─ ItemsInvalidError             output_invalid          the caller: which texts got no usable vector
└─ AttemptError                                          blames          try next
   ├─ TextTooLongError           context_too_long        nobody          no: no backend of the space takes more
   ├─ PayloadTooLargeError       rejected                nobody          yes, but the batch is split first
   ├─ WrongShapeError            backend_unavailable     model           yes
   ├─ BadVectorError             output_invalid          nobody          yes
   └─ NotInstalledError          backend_unavailable     configuration   yes
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router_mcp.errors import AttemptError, ContextTooLongError, RouterError

if TYPE_CHECKING:
    from embeddings_mcp.domain import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class BadItem:
    """A text that could not be embedded: its index in the request (`None` for a ranking's query) and why."""

    index: int | None
    reason: str
    tokens: int | None = None
    """How long it is, where that is known; a lower bound where `reason` says "at least"."""

    @property
    def name(self) -> str:
        """What the caller knows it as."""
        return "query" if self.index is None else f"texts[{self.index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What was done all the same: row `i` of `vectors` belongs to text `indices[i]`."""

    model: str
    indices: tuple[int, ...]
    vectors: Vectors
    truncated: tuple[int, ...] = ()


class ItemsError(RouterError):
    """Some texts could not be embedded; `items` names each, `partial` holds the vectors of the others."""

    def __init__(self, message: str, items: tuple[BadItem, ...]) -> None:
        super().__init__(message)
        self.items = items
        self.partial: Partial | None = None


class ItemsTooLongError(ItemsError):
    """Texts longer than the model takes."""

    code = "context_too_long"


class ItemsInvalidError(ItemsError):
    """Texts for which the model gave no usable vector, alone and twice."""

    code = "output_invalid"
    retryable = True


class TextTooLongError(ContextTooLongError):
    """A batch holds a text that is too long; `tokens` tells which, and how long, where the backend knows."""

    try_next = False

    def __init__(self, message: str, *, tokens: dict[int, int | None] | None = None) -> None:
        super().__init__(message)
        self.tokens = tokens or {}


class PayloadTooLargeError(AttemptError):
    """The backend refuses a batch for its size (413, or more texts than it takes)."""

    code = "rejected"
    blames = "nobody"
    outcome = "payload_too_large"


class WrongShapeError(AttemptError):
    """Another number of vectors than texts, or another dimension than the model's."""

    code = "backend_unavailable"
    retryable = True
    blames = "model"
    outcome = "wrong_shape"


class BadVectorError(AttemptError):
    """Vectors that are zero or not finite."""

    code = "output_invalid"
    retryable = True
    blames = "nobody"
    outcome = "bad_vector"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotInstalledError(AttemptError):
    """A backend that runs in this process needs a package that is not there."""

    code = "backend_unavailable"
    blames = "configuration"
    outcome = "not_installed"
